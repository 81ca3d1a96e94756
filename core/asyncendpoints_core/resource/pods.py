"""The pod options of gateway and workers, instead of a free-form pod template.

Deep structures that Kubernetes validates itself (affinity, resources, …) are passed through.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from asyncendpoints_core.resource.base import (
    ABSOLUTE_PATH,
    Annotations,
    AnyObject,
    EnvName,
    IntOrPercent,
    Items,
    Label,
    Labels,
    ObjectName,
    Record,
    Role,
    SecretKey,
    exactly_one,
    invalid,
    pattern,
    unique,
)

OWN_VOLUME_PREFIX: Final = "asyncendpoints-"
"""The prefix of volume names that is reserved for the operator."""
OWN_MOUNT: Final = "/etc/asyncendpoints"
"""The prefix of mount paths that is reserved for the operator's own files."""

QUANTITY: Final = pattern(r"^[0-9]+(\.[0-9]+)?([KMGTPE]i?|k)?$", "a size such as 512Mi or 1Gi")

FileMode = Annotated[int, Field(ge=0, le=0o777)]
DefaultMode = Annotated[
    FileMode, Field(description="Permission bits of the files. Default: 0644 (420).")
]


class LocalObject(Record):
    """A reference by name to an object in the namespace of the resource."""

    name: ObjectName = Field(description="Name of the object, in the namespace of the resource.")


class OptionalObject(LocalObject):
    """A reference to a ConfigMap or Secret that may be optional."""

    optional: bool = Field(
        default=False, description="Whether the pod starts if the object does not exist."
    )


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


class KeyToPath(Record):
    """One key of a ConfigMap or Secret as a file."""

    key: SecretKey = Field(description="The key.")
    path: Annotated[str, Field(min_length=1, max_length=1_024)] = Field(
        description="Path of the file, relative to the mount."
    )
    mode: FileMode | None = Field(
        default=None, description="Permission bits of the file, such as 0440. Absent: defaultMode."
    )


KeyItems = Annotated[
    Items[KeyToPath], Field(max_length=64, description="Keys to mount as files. Default: all.")
]


class ConfigMapVolume(OptionalObject):
    """The keys of a ConfigMap as files."""

    items: KeyItems = ()
    default_mode: DefaultMode = 0o644


class SecretVolume(Record):
    """The keys of a Secret as files."""

    secret_name: ObjectName = Field(description="Name of the Secret.")
    items: KeyItems = ()
    default_mode: DefaultMode = 0o644
    optional: bool = Field(
        default=False, description="Whether the pod starts if the Secret does not exist."
    )


class EmptyDirVolume(Record):
    """Scratch space with the lifetime of the pod."""

    medium: Literal["", "Memory"] = Field(
        default="", description='Storage medium: "" (the node\'s disk, the default) or Memory.'
    )
    size_limit: Annotated[str, Field(max_length=32, pattern=QUANTITY)] | None = Field(
        default=None, description="Maximum size, such as 1Gi. Absent: unlimited."
    )


class ClaimVolume(Record):
    """A PersistentVolumeClaim. Several workers need the access mode ReadWriteMany."""

    claim_name: ObjectName = Field(description="Name of the PersistentVolumeClaim.")
    read_only: bool = Field(default=False, description="Whether it is mounted read-only.")


class ProjectedVolume(Record):
    """Several sources in one directory."""

    sources: Items[AnyObject] = Field(
        min_length=1,
        max_length=32,
        description="As in a pod: configMap, secret, downwardAPI or serviceAccountToken.",
    )
    default_mode: DefaultMode = 0o644


_SOURCES: Final = ("config_map", "secret", "empty_dir", "persistent_volume_claim", "projected")


class Volume(Record):
    """A volume of the pod, mounted by volumeMounts."""

    name: Label = Field(description="Name of the volume, for volumeMounts.")
    config_map: ConfigMapVolume | None = Field(
        default=None, description="The keys of a ConfigMap as files."
    )
    secret: SecretVolume | None = Field(default=None, description="The keys of a Secret as files.")
    empty_dir: EmptyDirVolume | None = Field(
        default=None, description="Scratch space with the lifetime of the pod."
    )
    persistent_volume_claim: ClaimVolume | None = Field(
        default=None, description="Storage that outlives the pod."
    )
    projected: ProjectedVolume | None = Field(
        default=None, validate_default=True, description="Several sources in one directory."
    )

    @field_validator("name")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        if value.startswith(OWN_VOLUME_PREFIX):
            raise invalid(f"the prefix {OWN_VOLUME_PREFIX} is reserved for the operator")
        return value

    @field_validator("projected")
    @classmethod
    def _one_source(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "projected": value}, _SOURCES)
        return value


class VolumeMount(Record):
    """A mount of a volume in the container."""

    name: Label = Field(description="Name of the volume.")
    mount_path: Annotated[str, Field(max_length=1_024, pattern=ABSOLUTE_PATH)] = Field(
        description="Absolute path in the container."
    )
    sub_path: Annotated[str, Field(max_length=1_024)] | None = Field(
        default=None, description="Path inside the volume. Absent: its root."
    )
    read_only: bool = Field(default=False, description="Whether it is mounted read-only.")

    @field_validator("mount_path")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        path = "/" + "/".join(step for step in value.split("/") if step)
        if path == "/" or path.startswith(OWN_MOUNT):
            raise invalid(f"must not be / or below {OWN_MOUNT}, which is reserved for the operator")
        return value


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

    @field_validator("volume_mounts")
    @classmethod
    def _of_known_volumes(cls, value: tuple[VolumeMount, ...], info: ValidationInfo) -> Any:
        known = [volume.name for volume in info.data.get("volumes", ())]
        for mount in value:
            if "volumes" in info.data and mount.name not in known:
                raise invalid(f'"{mount.name}" is not the name of a volume in `volumes`')
        return value
