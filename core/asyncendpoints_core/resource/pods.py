"""What a real cluster needs to say about pods, field by field: never a free-form pod template.

Gateway and workers take the same fields. A piece that Kubernetes checks well itself and that is
deep (affinity, resources, …) is passed through as it is.
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
    broken,
    exactly_one,
    pattern,
    unique,
)

OWN_VOLUME_PREFIX: Final = "asyncendpoints-"
"""Volumes with this prefix are the operator's."""
OWN_MOUNT: Final = "/etc/asyncendpoints"
"""Files below paths that begin so (the endpoint, the Redis URL, tokens) are the operator's."""

QUANTITY: Final = pattern(r"^[0-9]+(\.[0-9]+)?([KMGTPE]i?|k)?$", "a size such as 512Mi or 1Gi")

FileMode = Annotated[int, Field(ge=0, le=0o777)]


class LocalObject(Record):
    """A reference to an object of the resource's own namespace, by name."""

    name: ObjectName = Field(description="Name of the object, in the namespace of the resource.")


class OptionalObject(LocalObject):
    """A reference to a ConfigMap or Secret that may be allowed to be absent."""

    optional: bool = Field(
        default=False, description="Whether the pod starts when the object is not there."
    )


class EnvVar(Record):
    """One environment variable."""

    name: EnvName = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=32_768)] | None = Field(
        default=None,
        description='Its text. Numbers and true or false are quoted in YAML: value: "8".',
    )
    value_from: AnyObject | None = Field(
        default=None,
        description="Where the value comes from, as in a pod: secretKeyRef, configMapKeyRef, "
        "fieldRef or resourceFieldRef. Credentials belong here, never into `value`.",
    )

    @field_validator("value_from")
    @classmethod
    def _one_way(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "value_from": value}, ("value", "value_from"), needed=False)
        return value


class EnvFrom(Record):
    """All entries of a ConfigMap or Secret as environment variables."""

    prefix: Annotated[str, Field(max_length=256)] = Field(
        default="", description="Text put before each name. Default: none."
    )
    config_map_ref: OptionalObject | None = Field(
        default=None, description="The ConfigMap whose entries become variables."
    )
    secret_ref: OptionalObject | None = Field(
        default=None,
        validate_default=True,
        description="The Secret whose entries become variables.",
    )

    @field_validator("secret_ref")
    @classmethod
    def _one_source(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "secret_ref": value}, ("config_map_ref", "secret_ref"))
        return value


class Toleration(Record):
    """Lets pods onto nodes with a matching taint."""

    key: Annotated[str, Field(max_length=316)] | None = Field(
        default=None, description="Key of the taint. Absent with `Exists`: every taint."
    )
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="How key and value are compared. Default: Equal."
    )
    value: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Value of the taint, with `Equal`."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint. Absent: every effect."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        default=None, description="Seconds a pod stays after a NoExecute taint. Absent: for ever."
    )


class KeyToPath(Record):
    """One entry of a ConfigMap or Secret as a file."""

    key: SecretKey = Field(description="The entry.")
    path: Annotated[str, Field(min_length=1, max_length=1_024)] = Field(
        description="Path of the file, relative to the mount."
    )
    mode: FileMode | None = Field(
        default=None, description="Permission bits of the file, such as 0440. Absent: defaultMode."
    )


class ConfigMapVolume(OptionalObject):
    """The entries of a ConfigMap as files."""

    items: Items[KeyToPath] = Field(
        default=(), max_length=64, description="Which entries become which files. Default: all."
    )
    default_mode: FileMode = Field(
        default=0o644, description="Permission bits of the files. Default: 0644 (420)."
    )


class SecretVolume(Record):
    """The entries of a Secret as files."""

    secret_name: ObjectName = Field(description="Name of the Secret.")
    items: Items[KeyToPath] = Field(
        default=(), max_length=64, description="Which entries become which files. Default: all."
    )
    default_mode: FileMode = Field(
        default=0o644, description="Permission bits of the files. Default: 0644 (420)."
    )
    optional: bool = Field(
        default=False, description="Whether the pod starts when the Secret is not there."
    )


class EmptyDirVolume(Record):
    """Scratch space that ends with the pod."""

    medium: Literal["", "Memory"] = Field(
        default="", description='Where it lives: "" (the node\'s disk, the default) or Memory.'
    )
    size_limit: Annotated[str, Field(max_length=32, pattern=QUANTITY)] | None = Field(
        default=None, description="Largest size, such as 1Gi. Absent: none."
    )


class ClaimVolume(Record):
    """A PersistentVolumeClaim. Several workers need one with access mode ReadWriteMany."""

    claim_name: ObjectName = Field(description="Name of the PersistentVolumeClaim.")
    read_only: bool = Field(default=False, description="Whether it is mounted read-only.")


class ProjectedVolume(Record):
    """Several sources in one directory."""

    sources: Items[AnyObject] = Field(
        min_length=1,
        max_length=32,
        description="As in a pod: configMap, secret, downwardAPI or serviceAccountToken.",
    )
    default_mode: FileMode = Field(
        default=0o644, description="Permission bits of the files. Default: 0644 (420)."
    )


_SOURCES: Final = ("config_map", "secret", "empty_dir", "persistent_volume_claim", "projected")


class Volume(Record):
    """A volume of the pod; it appears where a volumeMount names it."""

    name: Label = Field(description="Name of the volume, for volumeMounts.")
    config_map: ConfigMapVolume | None = Field(
        default=None, description="The entries of a ConfigMap as files."
    )
    secret: SecretVolume | None = Field(
        default=None, description="The entries of a Secret as files."
    )
    empty_dir: EmptyDirVolume | None = Field(
        default=None, description="Scratch space that ends with the pod."
    )
    persistent_volume_claim: ClaimVolume | None = Field(
        default=None, description="Storage that outlives the pod."
    )
    projected: ProjectedVolume | None = Field(
        default=None,
        validate_default=True,
        description="Several sources in one directory.",
    )

    @field_validator("name")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        if value.startswith(OWN_VOLUME_PREFIX):
            raise broken(f"volumes named {OWN_VOLUME_PREFIX}… are the operator's")
        return value

    @field_validator("projected")
    @classmethod
    def _one_source(cls, value: Any, info: ValidationInfo) -> Any:
        exactly_one({**info.data, "projected": value}, _SOURCES)
        return value


class VolumeMount(Record):
    """Where a volume appears in the container."""

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
            raise broken(f"{OWN_MOUNT}… is the operator's, and / cannot be mounted over")
        return value


class PodSecurityContext(Record):
    """What a pod may add to the restricted profile, which all pods run under anyway."""

    fs_group: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = Field(
        default=None, description="Group id that owns mounted volumes. Absent: the cluster decides."
    )


class Rollout(Record):
    """How pods are replaced when their template changes."""

    max_surge: IntOrPercent = Field(
        default="25%",
        description='Pods beyond the wanted number: a number or a share. Default: "25%".',
    )
    max_unavailable: IntOrPercent = Field(
        default=0,
        description="Pods that may be missing meanwhile: a number or a share. Default: 0, so that "
        "a busy worker is only ended once its successor is ready.",
    )

    @model_validator(mode="after")
    def _can_move(self) -> "Rollout":
        if {self.max_surge, self.max_unavailable} <= {0, "0%"}:
            raise broken("maxSurge and maxUnavailable cannot both be 0: no pod could be replaced")
        return self


class PodOptions(Record):
    """Fields of the pod that gateway and workers share."""

    read_by = Role.OPERATOR

    resources: AnyObject = Field(
        default={},
        description="CPU and memory as in a container: requests and limits. The CPU limit is also "
        "what worker.concurrency defaults to. Default: none.",
    )
    env: Annotated[Items[EnvVar], unique("variable", lambda e: e.name)] = Field(
        default=(), max_length=128, description="Environment variables. Default: none."
    )
    env_from: Items[EnvFrom] = Field(
        default=(),
        max_length=32,
        description="ConfigMaps and Secrets whose entries become variables. Default: none.",
    )
    image_pull_secrets: Items[LocalObject] = Field(
        default=(), max_length=16, description="Secrets for a private registry. Default: none."
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None,
        description="When the image is pulled. Absent: Kubernetes' own default (Always for the "
        "tag latest, else IfNotPresent).",
    )
    service_account_name: ObjectName | None = Field(
        default=None,
        description="ServiceAccount of the pods, for the code in them that calls the API. "
        "Absent: one of their own, without a token.",
    )
    node_selector: Labels = Field(
        default={}, description="Labels a node must have. Default: any node."
    )
    tolerations: Items[Toleration] = Field(
        default=(), max_length=32, description="Taints the pods tolerate. Default: none."
    )
    affinity: AnyObject | None = Field(
        default=None, description="Affinity, as in a pod: nodeAffinity, podAffinity, …"
    )
    topology_spread_constraints: Items[AnyObject] = Field(
        default=(),
        max_length=8,
        description="How pods are spread over zones or nodes, as in a pod. Without a "
        "labelSelector, this endpoint's own pods are meant. Default: none.",
    )
    priority_class_name: ObjectName | None = Field(
        default=None, description="PriorityClass of the pods. Absent: the cluster's default."
    )
    runtime_class_name: ObjectName | None = Field(
        default=None, description="RuntimeClass of the pods, such as gvisor. Absent: the default."
    )
    pod_security_context: PodSecurityContext = Field(
        default=PodSecurityContext(),
        description="What is added to the restricted profile of the pods.",
    )
    labels: Labels = Field(
        default={}, description="Labels added to the pods; the operator's own win. Default: none."
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
            description="Where the volumes appear in the container. The root file system is "
            "read-only; /tmp and $HOME are writable. Default: nowhere.",
        )
    )

    @field_validator("volume_mounts")
    @classmethod
    def _of_known_volumes(cls, value: tuple[VolumeMount, ...], info: ValidationInfo) -> Any:
        known = [volume.name for volume in info.data.get("volumes", ())]
        for mount in value:
            if "volumes" in info.data and mount.name not in known:
                raise broken(f'"{mount.name}" is no name of a volume in `volumes`')
        return value
