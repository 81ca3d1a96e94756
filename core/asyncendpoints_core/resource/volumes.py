"""The volumes of gateway and worker pods, and references to objects in the resource's namespace."""

from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from asyncendpoints_core.resource.base import (
    ABSOLUTE_PATH,
    AnyObject,
    Items,
    Label,
    ObjectName,
    Record,
    SecretKey,
    invalid,
    one_of,
    optional,
    pattern,
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


class KeyToPath(Record):
    """One key of a ConfigMap or Secret as a file."""

    key: SecretKey = Field(description="The key.")
    path: Annotated[str, Field(min_length=1, max_length=1_024)] = Field(
        description="Path of the file, relative to the mount."
    )
    mode: FileMode | None = optional(
        "Permission bits of the file, such as 0440. Absent: defaultMode."
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
    size_limit: Annotated[str, Field(max_length=32, pattern=QUANTITY)] | None = optional(
        "Maximum size, such as 1Gi. Absent: unlimited."
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
    config_map: ConfigMapVolume | None = optional("The keys of a ConfigMap as files.")
    secret: SecretVolume | None = optional("The keys of a Secret as files.")
    empty_dir: EmptyDirVolume | None = optional("Scratch space with the lifetime of the pod.")
    persistent_volume_claim: ClaimVolume | None = optional("Storage that outlives the pod.")
    projected: Annotated[ProjectedVolume | None, one_of(*_SOURCES)] = optional(
        "Several sources in one directory.", validate_default=True
    )

    @field_validator("name")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        if value.startswith(OWN_VOLUME_PREFIX):
            raise invalid(f"the prefix {OWN_VOLUME_PREFIX} is reserved for the operator")
        return value


class VolumeMount(Record):
    """A mount of a volume in the container."""

    name: Label = Field(description="Name of the volume.")
    mount_path: Annotated[str, Field(max_length=1_024, pattern=ABSOLUTE_PATH)] = Field(
        description="Absolute path in the container."
    )
    sub_path: Annotated[str, Field(max_length=1_024)] | None = optional(
        "Path inside the volume. Absent: its root."
    )
    read_only: bool = Field(default=False, description="Whether it is mounted read-only.")

    @field_validator("mount_path")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        path = "/" + "/".join(step for step in value.split("/") if step)
        if path == "/" or path.startswith(OWN_MOUNT):
            raise invalid(f"must not be / or below {OWN_MOUNT}, which is reserved for the operator")
        return value
