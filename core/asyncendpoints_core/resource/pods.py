"""The pod options of gateway and workers, instead of a free-form pod template.

Deep structures that Kubernetes validates itself (affinity, resources, …) are passed through.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator, model_validator

from asyncendpoints_core.resource.base import (
    Annotations,
    AnyObject,
    IntOrPercent,
    Items,
    Labels,
    ObjectName,
    Record,
    Role,
    invalid,
    optional,
    pattern,
    unique,
)
from asyncendpoints_core.resource.containers import (
    Container,
    EnvFrom,
    EnvVar,
    InitContainer,
    SecurityContext,
    UnixId,
)
from asyncendpoints_core.resource.volumes import LocalObject, Volume, VolumeMount

ADDRESS: Final = pattern(r"^[0-9A-Fa-f.:]+$", "an IPv4 or IPv6 address")


class Toleration(Record):
    """Allows pods on nodes with a matching taint."""

    key: Annotated[str, Field(max_length=316)] | None = optional(
        "Key of the taint. Absent with `Exists`: all taints."
    )
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="How key and value are matched. Default: Equal."
    )
    value: Annotated[str, Field(max_length=63)] | None = optional(
        "Value of the taint, with `Equal`."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = optional(
        "Effect of the taint. Absent: all effects."
    )
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = optional(
        "Seconds a pod stays after a NoExecute taint. Absent: forever."
    )


class PodSecurityContext(Record):
    """Security of all containers of a pod; what is absent is the restricted profile's."""

    fs_group: UnixId | None = optional(
        "Group id of mounted volumes. Absent: the cluster's default."
    )
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] | None = optional(
        "When volumes get that group. Absent: Always."
    )
    run_as_user: UnixId | None = optional("User id of the processes. Absent: that of each image.")
    run_as_group: UnixId | None = optional("Group id of the processes. Absent: that of each image.")
    run_as_non_root: bool | None = optional("Whether user 0 is refused. Absent: true.")
    supplemental_groups: Items[UnixId] = Field(
        default=(), max_length=32, description="More group ids of the processes. Default: none."
    )
    seccomp_profile: AnyObject | None = optional(
        "Seccomp profile, as in a pod. Absent: RuntimeDefault."
    )
    se_linux_options: AnyObject | None = optional(
        "SELinux labels, as in a pod. Absent: the runtime's."
    )


class HostAlias(Record):
    """An entry of the pod's hosts file."""

    ip: Annotated[str, StringConstraints(max_length=45, pattern=ADDRESS)] = Field(
        description="The address."
    )
    hostnames: Items[ObjectName] = Field(
        min_length=1, max_length=32, description="Names of that address."
    )


class DnsOption(Record):
    """An option of the pod's resolver."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Name, such as ndots."
    )
    value: Annotated[str, Field(max_length=64)] | None = optional("Value. Absent: none.")


class DnsConfig(Record):
    """Additions to the pod's resolver; with dnsPolicy None, all of it."""

    nameservers: Items[Annotated[str, StringConstraints(max_length=45, pattern=ADDRESS)]] = Field(
        default=(), max_length=3, description="Addresses of DNS servers. Default: none."
    )
    searches: Items[Annotated[str, StringConstraints(min_length=1, max_length=253)]] = Field(
        default=(), max_length=32, description="Search domains. Default: none."
    )
    options: Items[DnsOption] = Field(
        default=(), max_length=32, description="Options, such as ndots. Default: none."
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
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = optional(
        "Image pull policy. Absent: the default of Kubernetes (Always for the tag "
        "latest, else IfNotPresent)."
    )
    service_account_name: ObjectName | None = optional(
        "ServiceAccount of the pods, for code that calls the Kubernetes API. "
        "Absent: a generated one without a token."
    )
    node_selector: Labels = Field(
        default={}, description="Labels that a node must have. Default: any node."
    )
    tolerations: Items[Toleration] = Field(
        default=(), max_length=32, description="Taints that the pods tolerate. Default: none."
    )
    affinity: AnyObject | None = optional("Affinity, as in a pod: nodeAffinity, podAffinity, …")
    topology_spread_constraints: Items[AnyObject] = Field(
        default=(),
        max_length=8,
        description="How pods are spread over zones or nodes, as in a pod. The labelSelector "
        "defaults to this endpoint's pods. Default: none.",
    )
    priority_class_name: ObjectName | None = optional(
        "PriorityClass of the pods. Absent: the cluster's default."
    )
    runtime_class_name: ObjectName | None = optional(
        "RuntimeClass of the pods, such as gvisor. Absent: the default."
    )
    pod_security_context: PodSecurityContext = Field(
        default=PodSecurityContext(),
        description="Changes of the restricted security profile of the pods.",
    )
    security_context: SecurityContext = Field(
        default=SecurityContext(),
        description="Changes of the restricted security profile of the gateway, or of the "
        "container with your code.",
    )
    scheduler_name: ObjectName | None = optional(
        "Scheduler of the pods. Absent: the default scheduler."
    )
    host_aliases: Annotated[Items[HostAlias], unique("address", lambda a: a.ip)] = Field(
        default=(), max_length=32, description="Entries of the pods' hosts file. Default: none."
    )
    dns_policy: Literal["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"] | None = (
        optional("DNS policy of the pods, as in a pod. Absent: ClusterFirst.")
    )
    dns_config: DnsConfig | None = optional(
        "Additions to the pods' resolver. Absent: none.", validate_default=True
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

    init_containers: Annotated[Items[InitContainer], unique("container", lambda c: c.name)] = Field(
        default=(),
        max_length=8,
        description="Containers that run one after another before the others start. Default: none.",
    )
    sidecars: Annotated[Items[Container], unique("container", lambda c: c.name)] = Field(
        default=(),
        max_length=8,
        description="Containers that run beside gateway or worker: they are started after "
        "initContainers and terminated last, so a draining worker keeps them. They do not keep its "
        "pod: about 15 s after the worker has exited it is removed. Default: none.",
    )

    @field_validator("dns_config")
    @classmethod
    def _resolver_of_its_own(cls, value: Any, info: ValidationInfo) -> Any:
        if info.data.get("dns_policy") == "None" and not (value and value.nameservers):
            raise invalid("nameservers are required with dnsPolicy None")
        return value

    @field_validator("volume_mounts")
    @classmethod
    def _of_known_volumes(cls, value: tuple[VolumeMount, ...], info: ValidationInfo) -> Any:
        known = [volume.name for volume in info.data.get("volumes", ())]
        for mount in value:
            if "volumes" in info.data and mount.name not in known:
                raise invalid(f'"{mount.name}" is not the name of a volume in `volumes`')
        return value

    @field_validator("init_containers", "sidecars")
    @classmethod
    def _mounts_of_known_volumes(cls, value: tuple[Container, ...], info: ValidationInfo) -> Any:
        for container in value:
            cls._of_known_volumes(container.volume_mounts, info)
        return value

    @field_validator("sidecars")
    @classmethod
    def _names_are_unique(cls, value: tuple[Container, ...], info: ValidationInfo) -> Any:
        taken = {container.name for container in info.data.get("init_containers", ())}
        if both := taken & {container.name for container in value}:
            raise invalid(f'"{min(both)}" is the name of a container in `initContainers`')
        return value
