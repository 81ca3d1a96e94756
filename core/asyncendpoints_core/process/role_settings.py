"""The settings of run, gateway and worker, some of which the operator has as well."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from asyncendpoints_core.process.setting_info import About, LogFormat, LogLevel


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What differs from one process to the next."""

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
            "Identity of this installation, written beside each queue in Redis, so that two "
            "clusters on one Redis never touch each other's. Set by the chart; an operator without "
            "it takes the UID of the namespace kube-system, as the chart does.",
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
