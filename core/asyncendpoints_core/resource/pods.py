"""The pod options of gateway and workers, instead of a free-form pod template.

Deep structures that Kubernetes validates itself (affinity, resources, …) are passed through.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from asyncendpoints_core.resource.base import (
    Annotations,
    AnyObject,
    EnvName,
    IntOrPercent,
    Items,
    Labels,
    ObjectName,
    Record,
    Role,
    exactly_one,
    invalid,
    unique,
)
from asyncendpoints_core.resource.volumes import LocalObject, OptionalObject, Volume, VolumeMount


class EnvVar(Record):
    """One environment variable."""

    name: EnvName = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=32_768)] | None = Field(
        default=None,
        description='Value of the variable. Quote numbers and booleans in YAML: value: "8".',
    )
    value_from: AnyObject | None = Field(
        default=None,
        description="Source of the value, as in a pod: secretKeyRef, configMapKeyRef, fieldRef or "
        "resourceFieldRef. Use it for credentials instead of `value`.",
    )

    @field_validator("value_from")
    @classmethod
    def _one_way(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "value_from": value}, ("value", "value_from"), needed=False)
        return value


class EnvFrom(Record):
    """All keys of a ConfigMap or Secret as environment variables."""

    prefix: Annotated[str, Field(max_length=256)] = Field(
        default="", description="Prefix of each variable's name. Default: none."
    )
    config_map_ref: OptionalObject | None = Field(
        default=None, description="The ConfigMap whose keys become variables."
    )
    secret_ref: OptionalObject | None = Field(
        default=None, validate_default=True, description="The Secret whose keys become variables."
    )

    @field_validator("secret_ref")
    @classmethod
    def _one_source(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "secret_ref": value}, ("config_map_ref", "secret_ref"))
        return value


class Toleration(Record):
    """Allows pods on nodes with a matching taint."""

    key: Annotated[str, Field(max_length=316)] | None = Field(
        default=None, description="Key of the taint. Absent with `Exists`: all taints."
    )
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="How key and value are matched. Default: Equal."
    )
    value: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Value of the taint, with `Equal`."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint. Absent: all effects."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        default=None, description="Seconds a pod stays after a NoExecute taint. Absent: forever."
    )


class PodSecurityContext(Record):
    """Additions to the restricted security profile that applies to all pods."""

    fs_group: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = Field(
        default=None, description="Group id of mounted volumes. Absent: the cluster's default."
    )


class Rollout(Record):
    """How pods are replaced when their template changes."""

    max_surge: IntOrPercent = Field(
        default="25%",
        description='Number or percentage of extra pods during a rollout. Default: "25%".',
    )
    max_unavailable: IntOrPercent = Field(
        default=0,
        description="Number or percentage of pods that may be unavailable during a rollout. "
        "Default: 0, so that a worker is terminated only after its replacement is ready.",
    )

    @model_validator(mode="after")
    def _can_move(self) -> "Rollout":
        if {self.max_surge, self.max_unavailable} <= {0, "0%"}:
            raise invalid(
                "maxSurge and maxUnavailable must not both be 0: no pod could be replaced"
            )
        return self


class PodOptions(Record):
    """Fields of the pod that gateway and workers share."""

    read_by = Role.OPERATOR

    resources: AnyObject = Field(
        default={},
        description="CPU and memory as in a container: requests and limits. The CPU limit is also "
        "the default of worker.concurrency. Default: none.",
    )
    env: Annotated[Items[EnvVar], unique("variable", lambda e: e.name)] = Field(
        default=(), max_length=128, description="Environment variables. Default: none."
    )
    env_from: Items[EnvFrom] = Field(
        default=(),
        max_length=32,
        description="ConfigMaps and Secrets whose keys become variables. Default: none.",
    )
    image_pull_secrets: Items[LocalObject] = Field(
        default=(), max_length=16, description="Secrets for a private registry. Default: none."
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None,
        description="Image pull policy. Absent: the default of Kubernetes (Always for the tag "
        "latest, else IfNotPresent).",
    )
    service_account_name: ObjectName | None = Field(
        default=None,
        description="ServiceAccount of the pods, for code that calls the Kubernetes API. "
        "Absent: a generated one without a token.",
    )
    node_selector: Labels = Field(
        default={}, description="Labels that a node must have. Default: any node."
    )
    tolerations: Items[Toleration] = Field(
        default=(), max_length=32, description="Taints that the pods tolerate. Default: none."
    )
    affinity: AnyObject | None = Field(
        default=None, description="Affinity, as in a pod: nodeAffinity, podAffinity, …"
    )
    topology_spread_constraints: Items[AnyObject] = Field(
        default=(),
        max_length=8,
        description="How pods are spread over zones or nodes, as in a pod. The labelSelector "
        "defaults to this endpoint's pods. Default: none.",
    )
    priority_class_name: ObjectName | None = Field(
        default=None, description="PriorityClass of the pods. Absent: the cluster's default."
    )
    runtime_class_name: ObjectName | None = Field(
        default=None, description="RuntimeClass of the pods, such as gvisor. Absent: the default."
    )
    pod_security_context: PodSecurityContext = Field(
        default=PodSecurityContext(),
        description="Additions to the restricted security profile of the pods.",
    )
    labels: Labels = Field(
        default={},
        description="Labels added to the pods; the operator's take precedence. Default: none.",
    )
    annotations: Annotations = Field(
        default={}, description="Annotations added to the pods. Default: none."
    )
    volumes: Annotated[Items[Volume], unique("volume", lambda v: v.name)] = Field(
        default=(), max_length=32, description="Volumes of the pods. Default: none."
    )
    volume_mounts: Annotated[Items[VolumeMount], unique("mount path", lambda m: m.mount_path)] = (
        Field(
            default=(),
            max_length=64,
            description="Mounts of the volumes in the container. The root file system is "
            "read-only; /tmp and $HOME are writable. Default: none.",
        )
    )

    rollout: Rollout = Field(
        default=Rollout(), description="How pods are replaced when their template changes."
    )

    @field_validator("volume_mounts")
    @classmethod
    def _of_known_volumes(cls, value: tuple[VolumeMount, ...], info: ValidationInfo) -> Any:
        known = [volume.name for volume in info.data.get("volumes", ())]
        for mount in value:
            if "volumes" in info.data and mount.name not in known:
                raise invalid(f'"{mount.name}" is not the name of a volume in `volumes`')
        return value
