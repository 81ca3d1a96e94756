"""The settings of a process: a flag wins over an environment variable, and that over the default.

What belongs to an endpoint is in its resource; here is only what differs from one process to the
next. Each setting is described where it is defined; docs/settings.md is generated from it.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints

from asyncendpoints_core import __version__
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.faults import one_line

PREFIX: Final = "ASYNCENDPOINTS_"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "text", "json"]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]
Kind = Literal["text", "name", "number", "switch", "choice", "path", "url"]


@dataclass(frozen=True, slots=True)
class About:
    """What is to be known of a setting beside its name, type and default.

    `env` is its variable without the prefix, `flag` its option on the command line ("" if it has
    none), `readers` the commands that use it, `kind` how its text is read, `unit` what a number
    counts, `shown` what the documentation says for the default where the value says too little.
    """

    description: str
    env: str
    readers: str
    flag: str = ""
    kind: Kind = "text"
    unit: str = ""
    shown: str = ""
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as `all_settings` lists them."""

    name: str
    default: object
    about: About

    @property
    def env(self) -> str:
        """The setting's environment variable."""
        return PREFIX + self.about.env

    @property
    def default_text(self) -> str:
        """The default, for people."""
        if self.about.shown or self.default is None:
            return self.about.shown or "none"
        return str(self.default).lower()


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process, read once at its start."""

    http_host: Annotated[
        str,
        About(
            "Address that the HTTP server listens on. Without gateway.auth, any but 127.0.0.1 "
            "lets whoever reaches it submit and read jobs; a warning says so.",
            env="HTTP_HOST",
            flag="--host",
            readers="run gateway",
        ),
    ] = "127.0.0.1"
    http_port: Annotated[
        int,
        About(
            "Port of the HTTP server; 0 is any free one. With several endpoints, `run` gives each "
            "the next port.",
            env="HTTP_PORT",
            flag="--port",
            kind="number",
            unit="TCP port",
            readers="run gateway",
            high=65_535,
        ),
    ] = 8080
    admin_host: Annotated[
        str | None,
        About(
            "Address that the admin port listens on. In a pod it is one that the kubelet reaches.",
            env="ADMIN_HOST",
            shown="that of the HTTP server; 127.0.0.1 for a worker",
            readers="run gateway worker operator",
        ),
    ] = None
    admin_port: Annotated[
        int | None,
        About(
            "Port of /livez, /readyz and /metrics; 0 is any free one. No Service leads to it.",
            env="ADMIN_PORT",
            flag="--admin-port",
            kind="number",
            unit="TCP port",
            shown="9090; a worker opens none unless told",
            readers="run gateway worker operator",
            high=65_535,
        ),
    ] = None
    redis_url: Annotated[
        str | None,
        About(
            "URL of Redis: redis://, rediss://, unix://, redis+cluster://, redis+sentinel://. "
            "`run` without one keeps jobs in memory. Rather than a password here, use the file.",
            env="REDIS_URL",
            flag="--redis",
            kind="url",
            readers="run gateway worker operator",
        ),
    ] = None
    redis_url_file: Annotated[
        Path | None,
        About(
            "File that holds the URL of Redis, such as a mounted Secret. It is read again at each "
            "connect, so a changed password needs no restart. It wins over the variable with the "
            "URL, not over --redis.",
            env="REDIS_URL_FILE",
            kind="path",
            readers="run gateway worker operator",
        ),
    ] = None
    endpoint_file: Annotated[
        Path | None,
        About(
            "File with the resource that this process serves.",
            env="ENDPOINT_FILE",
            flag="--endpoint",
            kind="path",
            readers="gateway worker",
        ),
    ] = None
    auth_tokens_file: Annotated[
        Path | None,
        About(
            "File with the bearer tokens, one a line, in place of gateway.auth.tokens: a mounted "
            "Secret. It is read again when it changes.",
            env="AUTH_TOKENS_FILE",
            kind="path",
            shown="what the resource says",
            readers="run gateway",
        ),
    ] = None
    http_target: Annotated[
        str | None,
        About(
            "Where HTTP mode sends jobs, such as http://127.0.0.1:3000/jobs.",
            env="HTTP_TARGET",
            flag="--http-target",
            kind="url",
            shown="worker.http of the resource, on 127.0.0.1",
            readers="run worker",
        ),
    ] = None
    reload: Annotated[
        bool,
        About(
            "Whether changed files of handlers and resources restart the workers. For development.",
            env="RELOAD",
            flag="--reload",
            kind="switch",
            readers="run",
        ),
    ] = False
    log_level: Annotated[
        LogLevel,
        About(
            "Least level that is logged.",
            env="LOG_LEVEL",
            flag="--log-level",
            kind="choice",
            readers="run gateway worker operator",
            choices=("debug", "info", "warning", "error"),
        ),
    ] = "info"
    log_format: Annotated[
        LogFormat,
        About(
            "Form of the log on stderr: text, json (one object a line), or auto, which is text on "
            "a terminal and json elsewhere.",
            env="LOG_FORMAT",
            kind="choice",
            readers="run gateway worker operator",
            choices=("auto", "text", "json"),
        ),
    ] = "auto"
    installation_id: Annotated[
        str,
        About(
            "Identity of this installation. It is part of the keys in Redis, so that two of them "
            "on one Redis never touch each other's queues. Set by the chart.",
            env="INSTALLATION_ID",
            kind="name",
            readers="run gateway worker operator",
        ),
    ] = "local"
    pod_uid: Annotated[
        str | None,
        About(
            "UID of the pod, part of a worker's identity. Set by the operator.",
            env="POD_UID",
            kind="name",
            shown="the host's name",
            readers="worker",
        ),
    ] = None

    operator_namespace: Annotated[
        str,
        About(
            "Namespace of the operator itself: where its Lease is. Set by the chart.",
            env="OPERATOR_NAMESPACE",
            kind="name",
            readers="operator",
        ),
    ] = "asyncendpoints"
    operator_identity: Annotated[
        str | None,
        About(
            "Name of this replica in the leader election. Set by the chart.",
            env="OPERATOR_IDENTITY",
            kind="name",
            shown="made from the host's name",
            readers="operator",
        ),
    ] = None
    lease_name: Annotated[
        str,
        About(
            "Name of the Lease by which one replica leads. Set by the chart.",
            env="LEASE_NAME",
            kind="name",
            readers="operator",
        ),
    ] = "asyncendpoints-operator"
    lease_seconds: Annotated[
        int,
        About(
            "How long a silent leader keeps the lease. It renews five times as often, and stops "
            "its own work after 6/10 of it.",
            env="LEASE_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            low=5,
            high=60,
        ),
    ] = 10
    class_name: Annotated[
        str | None,
        About(
            "The operator acts only on resources with this spec.className.",
            env="CLASS_NAME",
            kind="name",
            shown="those without one",
            readers="operator",
        ),
    ] = None
    watch_namespaces: Annotated[
        str | None,
        About(
            "Namespaces that the operator serves, with commas between them.",
            env="WATCH_NAMESPACES",
            shown="all",
            readers="operator",
        ),
    ] = None
    gateway_image: Annotated[
        str,
        About(
            "Image of the gateways.",
            env="GATEWAY_IMAGE",
            readers="operator",
        ),
    ] = f"asyncendpoints/gateway:{__version__}"
    worker_image: Annotated[
        str,
        About(
            "Image of the main container of workers in HTTP mode.",
            env="WORKER_IMAGE",
            readers="operator",
        ),
    ] = f"asyncendpoints/worker:{__version__}"
    image_pull_policy: Annotated[
        PullPolicy | None,
        About(
            "When the images of gateways are pulled.",
            env="IMAGE_PULL_POLICY",
            kind="choice",
            shown="what Kubernetes does by the tag",
            readers="operator",
            choices=("Always", "IfNotPresent", "Never"),
        ),
    ] = None
    pod_listen_host: Annotated[
        str,
        About(
            'Address that gateways and workers listen on in their pods; "::" in a cluster that has '
            "IPv6 alone. A change replaces every pod.",
            env="POD_LISTEN_HOST",
            readers="operator",
        ),
    ] = "0.0.0.0"  # noqa: S104 - pods are reached by their own address
    redis_acl: Annotated[
        bool,
        About(
            "Whether each endpoint on the operator's Redis gets a Redis user of its own, that sees "
            "no keys but its own. false where the server forbids ACL commands.",
            env="REDIS_ACL",
            kind="switch",
            readers="operator",
        ),
    ] = True
    resync_seconds: Annotated[
        int,
        About(
            "How often the operator lists everything anew and looks at each endpoint, whatever it "
            "was told of.",
            env="RESYNC_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            low=10,
            high=3_600,
        ),
    ] = 300
    idle_poll_seconds: Annotated[
        int,
        About(
            "How often the figures of an endpoint with nothing to do are read. New jobs are told "
            "by Redis at once; others are read each second.",
            env="IDLE_POLL_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            low=1,
            high=60,
        ),
    ] = 10
    counts_seconds: Annotated[
        int,
        About(
            "Least time between two changes of a status that concern only counts.",
            env="COUNTS_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            low=1,
            high=300,
        ),
    ] = 10
    keep_seconds: Annotated[
        int,
        About(
            "How long the jobs of a deleted resource with onDelete: Keep stay, for a resource of "
            "the same name to adopt.",
            env="KEEP_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            high=604_800,
        ),
    ] = 600
    startup_seconds: Annotated[
        int,
        About(
            "How long a worker takes to start, until it was seen: retries that fall due within it "
            "count as work now.",
            env="STARTUP_SECONDS",
            kind="number",
            unit="seconds",
            readers="operator",
            high=600,
        ),
    ] = 5

    def redis_source(self) -> Callable[[], str] | None:
        """Return what gives the URL of Redis at each connect, or None when none is set.

        The function raises UsageError when the file is missing or empty.
        """
        if self.redis_url is not None:
            url = self.redis_url
            return lambda: url
        if self.redis_url_file is not None:
            path = self.redis_url_file
            return lambda: read_url(path)
        return None


def all_settings() -> tuple[Setting, ...]:
    """Return every setting, in the order of its definition."""
    hints = get_type_hints(Settings, include_extras=True)
    return tuple(
        Setting(f.name, f.default, about)
        for f in fields(Settings)
        for about in get_args(hints[f.name])
        if isinstance(about, About)
    )


def load(
    flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings; raises UsageError with one line for each value that cannot be used.

    `flags` are by the settings' names; None means not given. `environ` is the process's own unless
    given. An empty variable counts as not set. An unknown `ASYNCENDPOINTS_…` variable is no fault:
    Kubernetes sets some of its own.
    """
    environ = os.environ if environ is None else environ
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for one in all_settings():
        origin, raw = one.about.flag or one.name, given.get(one.name)
        if raw is None:
            origin, raw = one.env, environ.get(one.env) or None
        if raw is None or (origin == one.env and _is_service_link(one.about, str(raw))):
            continue
        try:
            values[one.name] = _read(one.about, raw)
        except ValueError as error:
            faults.append(one_line(f"{origin}: {error}"))
    if "redis_url" not in given and "redis_url_file" in values:
        values.pop("redis_url", None)
    if faults:
        raise UsageError("\n".join(faults))
    return Settings(**values)


def _is_service_link(about: About, raw: str) -> bool:
    """Tell whether Kubernetes set a port's variable, for a Service called asyncendpoints-…."""
    return about.kind == "number" and re.match(r"(tcp|udp|sctp)://", raw) is not None


def _read(about: About, raw: object) -> object:
    """Turn a flag's or variable's value into the setting's; raises ValueError with the reason."""
    if about.kind == "switch" and isinstance(raw, bool):
        return raw
    text = str(raw).strip()
    if about.kind == "number":
        if not re.fullmatch(r"[0-9]{1,9}", text) or not about.low <= int(text) <= about.high:
            limits = f"from {about.low} to {about.high}"
            raise ValueError(f'must be a number {limits}, not "{text[:40]}"')
        return int(text)
    if about.kind == "switch":
        if text.lower() not in {"true", "false", "1", "0"}:
            raise ValueError(f'must be true or false, not "{text[:40]}"')
        return text.lower() in {"true", "1"}
    if about.kind == "choice":
        known = {choice.lower(): choice for choice in about.choices}
        if text.lower() not in known:
            raise ValueError(f'must be one of {", ".join(about.choices)}, not "{text[:40]}"')
        return known[text.lower()]
    if about.kind == "url" and "://" not in text:  # not repeated: it may hold a password
        raise ValueError("must be a URL, such as " + _EXAMPLES[about.env])
    if about.kind == "name" and not _NAME.fullmatch(text):
        raise ValueError('must be 1 to 63 letters, digits, ".", "_" or "-"')
    if not text:
        raise ValueError("must not be empty")
    return Path(text).expanduser() if about.kind == "path" else text


_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_EXAMPLES: Final = {
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "HTTP_TARGET": "http://127.0.0.1:3000/",
}


def read_url(path: Path) -> str:
    """Read a URL from a file, such as one of a mounted Secret; raises UsageError without it."""
    try:
        url = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UsageError(f"{path}: {(reason or 'cannot be read').lower()}") from None
    if "://" not in url or "\n" in url:
        raise UsageError(f"{path}: must hold one URL, such as {_EXAMPLES['REDIS_URL']}")
    return url


_USERINFO: Final = re.compile(r"(://[^:/?#@]*:)(.*)@", re.DOTALL)
_PASSWORD_ALONE: Final = re.compile(r"([?&][^=&#]*(?:password|secret|token)[^=&#]*=)[^&#]*", re.I)


def redact_url(url: str) -> str:
    """Return `url` with its passwords as ***, to be shown. It may be no valid URL at all.

    Everything up to the last "@" counts as the password, since one that was not percent-encoded
    may hold any character. A name without a password stays.
    """
    hidden = _USERINFO.sub(r"\1***@", url)
    return one_line(_PASSWORD_ALONE.sub(r"\1***", hidden))
