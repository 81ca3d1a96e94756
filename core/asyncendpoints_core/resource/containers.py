"""The containers of a pod: environment, security, and those that run beside gateway and worker.

Names and meanings are those of core/v1. Deep structures that Kubernetes validates itself (probes,
lifecycle, resources, …) are passed through.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, field_validator

from asyncendpoints_core.resource.base import (
    ABSOLUTE_PATH,
    PRINTABLE,
    AnyObject,
    EnvName,
    Items,
    Label,
    Record,
    invalid,
    one_of,
    optional,
    pattern,
    unique,
)
from asyncendpoints_core.resource.volumes import OWN_VOLUME_PREFIX, OptionalObject, VolumeMount

OWN_CONTAINERS: Final = ("gateway", "worker", "target")
"""The names of the operator's own containers."""
ADMIN_PORT: Final = 9090
"""The port of probes and metrics in every pod."""

CAPABILITY: Final = pattern(
    r"^[A-Z][A-Z0-9_]*$", "the name of a capability, such as NET_BIND_SERVICE"
)

Image = Annotated[str, StringConstraints(max_length=512, pattern=PRINTABLE)]
Words = Annotated[Items[Annotated[str, StringConstraints(max_length=4_096)]], Field(max_length=64)]
"""A command or its arguments; $(NAME) is replaced by the variable, as in a pod."""
UnixId = Annotated[int, Field(ge=0, le=2_147_483_647)]
Capability = Annotated[str, StringConstraints(max_length=64, pattern=CAPABILITY)]


class EnvVar(Record):
    """One environment variable."""

    name: EnvName = Field(description="Name of the variable.")
    value: Annotated[str, Field(max_length=32_768)] | None = optional(
        'Value of the variable. Quote numbers and booleans in YAML: value: "8".'
    )
    value_from: Annotated[AnyObject | None, one_of("value", "value_from", needed=False)] = optional(
        "Source of the value, as in a pod: secretKeyRef, configMapKeyRef, fieldRef or "
        "resourceFieldRef. Use it for credentials instead of `value`."
    )


class EnvFrom(Record):
    """All keys of a ConfigMap or Secret as environment variables."""

    prefix: Annotated[str, Field(max_length=256)] = Field(
        default="", description="Prefix of each variable's name. Default: none."
    )
    config_map_ref: OptionalObject | None = optional("The ConfigMap whose keys become variables.")
    secret_ref: Annotated[OptionalObject | None, one_of("config_map_ref", "secret_ref")] = optional(
        "The Secret whose keys become variables.", validate_default=True
    )


class Capabilities(Record):
    """Linux capabilities of a container."""

    add: Annotated[Items[Capability], Field(max_length=64)] | None = optional(
        "Capabilities added. Absent: none."
    )
    drop: Annotated[Items[Capability], Field(max_length=64)] | None = optional(
        "Capabilities dropped. Absent: ALL."
    )


class SecurityContext(Record):
    """Security of one container, as in a pod; what is absent is the restricted profile's."""

    run_as_user: UnixId | None = optional("User id of the process. Absent: that of the image.")
    run_as_group: UnixId | None = optional("Group id of the process. Absent: that of the image.")
    run_as_non_root: bool | None = optional(
        "Whether user 0 is refused. Absent: as in the pod (true)."
    )
    read_only_root_filesystem: bool | None = optional(
        "Whether the root file system is read-only. Absent: true in gateway and "
        "worker, false in other containers."
    )
    allow_privilege_escalation: bool | None = optional(
        "Whether a process may gain privileges. Absent: false."
    )
    privileged: bool | None = optional("Whether the container is privileged. Absent: false.")
    capabilities: Capabilities | None = optional("Linux capabilities. Absent: all are dropped.")
    seccomp_profile: AnyObject | None = optional(
        "Seccomp profile, as in a pod. Absent: RuntimeDefault."
    )
    app_armor_profile: AnyObject | None = optional(
        "AppArmor profile, as in a pod. Absent: the runtime's."
    )
    se_linux_options: AnyObject | None = optional(
        "SELinux labels, as in a pod. Absent: the runtime's."
    )


class ContainerPort(Record):
    """A port that a container listens on."""

    container_port: Annotated[int, Field(ge=1, le=65_535)] = Field(description="The port.")
    protocol: Literal["TCP", "UDP", "SCTP"] = Field(
        default="TCP", description="Protocol of the port. Default: TCP."
    )

    @field_validator("container_port")
    @classmethod
    def _not_ours(cls, value: int) -> int:
        if value == ADMIN_PORT:
            raise invalid(f"{ADMIN_PORT} is reserved for the probes of gateway and worker")
        return value


class Container(Record):
    """A container that runs beside gateway or worker, as in a pod."""

    name: Label = Field(description="Name of the container.")
    image: Image = Field(description="Image of the container.")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = optional(
        "Image pull policy. Absent: the default of Kubernetes."
    )
    command: Words = Field(
        default=(), description="Command, instead of the image's entry point. Default: none."
    )
    args: Words = Field(default=(), description="Arguments. Default: those of the image.")
    working_dir: Annotated[str, Field(max_length=1_024, pattern=ABSOLUTE_PATH)] | None = optional(
        "Working directory. Absent: that of the image."
    )
    env: Annotated[Items[EnvVar], unique("variable", lambda e: e.name)] = Field(
        default=(), max_length=64, description="Environment variables. Default: none."
    )
    env_from: Items[EnvFrom] = Field(
        default=(),
        max_length=16,
        description="ConfigMaps and Secrets whose keys become variables. Default: none.",
    )
    ports: Items[ContainerPort] = Field(
        default=(),
        max_length=16,
        description="Ports that it listens on, for information. 9090 is reserved. Default: none.",
    )
    resources: AnyObject = Field(
        default={}, description="CPU and memory: requests and limits. Default: none."
    )
    volume_mounts: Annotated[Items[VolumeMount], unique("mount path", lambda m: m.mount_path)] = (
        Field(
            default=(),
            max_length=16,
            description="Mounts of the pod's volumes. Default: none.",
        )
    )
    security_context: SecurityContext = Field(
        default=SecurityContext(), description="Security of this container."
    )
    startup_probe: AnyObject | None = optional("Startup probe, as in a pod. Absent: none.")
    readiness_probe: AnyObject | None = optional(
        "Readiness probe, as in a pod; the pod is ready only if it succeeds. Absent: none."
    )
    liveness_probe: AnyObject | None = optional("Liveness probe, as in a pod. Absent: none.")
    lifecycle: AnyObject | None = optional(
        "Hooks, as in a pod: postStart and preStop. Absent: none."
    )

    @field_validator("name")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        if value in OWN_CONTAINERS or value.startswith(OWN_VOLUME_PREFIX):
            raise invalid(
                f"{', '.join(OWN_CONTAINERS)} and the prefix {OWN_VOLUME_PREFIX} are reserved for "
                "the operator"
            )
        return value


class InitContainer(Container):
    """A container that runs before gateway or worker, as in a pod."""

    restart_policy: Literal["Always"] | None = optional(
        "Always: a sidecar, which is started in this place and keeps running. Absent: "
        "it must end before the next container is started."
    )
