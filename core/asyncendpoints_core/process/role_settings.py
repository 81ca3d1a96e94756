"""The settings of run, gateway and worker; the operator has some of them too."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from asyncendpoints_core.process.setting_info import About, LogFormat, LogLevel


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Settings that differ between processes."""

    http_host: Annotated[
        str,
        About(
            "Address that the HTTP server listens on. Without gateway.auth, any address other than "
            "127.0.0.1 lets other machines submit and read jobs; a warning is logged.",
            flag="--host",
            readers="run gateway",
        ),
    ] = "127.0.0.1"
    http_port: Annotated[
        int,
        About(
            "Port of the HTTP server; 0 for any free port. `run` uses consecutive ports for "
            "several endpoints.",
            flag="--port",
            unit="TCP port",
            readers="run gateway",
            high=65_535,
        ),
    ] = 8080
    allowed_hosts: Annotated[
        tuple[str, ...],
        About(
            "Further host names that requests may be for, in addition to localhost and loopback "
            "addresses; * allows every name. The option may be repeated, the variable separates "
            "names by commas.",
            flag="--allowed-host",
            kind="names",
            shown="none on a loopback address, else every name",
            readers="run gateway",
        ),
    ] = ()
    admin_host: Annotated[
        str | None,
        About(
            "Address that the admin server listens on. In a pod, the kubelet must be able to "
            "reach it.",
            shown="that of the HTTP server; 127.0.0.1 for a worker",
            readers="run gateway worker operator console",
        ),
    ] = None
    admin_port: Annotated[
        int | None,
        About(
            "Port of the admin server with /livez, /readyz and /metrics; 0 for any free port. "
            "It is not exposed by a Service.",
            flag="--admin-port",
            unit="TCP port",
            shown="9090; none for a worker",
            readers="run gateway worker operator console",
            high=65_535,
        ),
    ] = None
    console_port: Annotated[
        int | None,
        About(
            "Port of the console and the operations API, on loopback addresses only; 0 for any "
            "free port.",
            flag="--console-port",
            unit="TCP port",
            shown="9091, or the next free port; 9091 for a gateway",
            readers="run gateway console",
            high=65_535,
        ),
    ] = None
    console_folder: Annotated[
        Path | None,
        About(
            "Folder with the tokens of the console of a gateway, or of all endpoints, in the files "
            "view and operate, such as mounted Secrets. Without it, a gateway has no console. "
            "Changes take effect without a restart.",
            readers="gateway console",
        ),
    ] = None
    console_bodies: Annotated[
        bool,
        About(
            "Whether the console of all endpoints shows single jobs, with their bodies and results "
            "where gateway.console allows it, and acts on them. Else it shows the overview and "
            "figures.",
            readers="console",
        ),
    ] = False
    console_read_only: Annotated[
        bool, About("Whether the console of all endpoints refuses every change.", readers="console")
    ] = False
    redis_url: Annotated[
        str | None,
        About(
            "URL of Redis: redis://, rediss://, unix://, redis+cluster://, redis+sentinel://. "
            "Without it, `run` keeps jobs in memory. For a URL with a password, use the file.",
            flag="--redis",
            kind="url",
            readers="run gateway worker operator console",
        ),
    ] = None
    redis_url_file: Annotated[
        Path | None,
        About(
            "File with the URL of Redis, such as a mounted Secret. It is read at each connect, so "
            "a password change needs no restart. It takes precedence over the variable with the "
            "URL, but not over --redis.",
            readers="run gateway worker operator console",
        ),
    ] = None
    endpoint_file: Annotated[
        Path | None,
        About(
            "File with the resource that this process serves.",
            flag="--endpoint",
            readers="gateway worker",
        ),
    ] = None
    auth_tokens_file: Annotated[
        Path | None,
        About(
            "File with the bearer tokens, one per line, instead of gateway.auth.tokens, such as a "
            "mounted Secret. Changes take effect without a restart.",
            shown="gateway.auth.tokens of the resource",
            readers="run gateway",
        ),
    ] = None
    http_target: Annotated[
        str | None,
        About(
            "URL that jobs are sent to in HTTP mode, such as http://127.0.0.1:3000/jobs.",
            flag="--http-target",
            kind="url",
            shown="worker.http of the resource, on 127.0.0.1",
            readers="run worker",
        ),
    ] = None
    callback_host: Annotated[
        str,
        About(
            "Host by which a container of the HTTP mode reaches this machine, if it has a network "
            "of its own: an address of this machine, such as 172.17.0.1 of Docker on Linux, on "
            "which callbacks are then accepted, or a name that leads to its loopback, such as "
            "host.docker.internal of Docker Desktop.",
            flag="--callback-host",
            kind="host",
            readers="run worker",
        ),
    ] = "127.0.0.1"
    reload: Annotated[
        bool,
        About(
            "Whether to apply changed handlers and resources immediately. For development.",
            flag="--reload",
            readers="run",
        ),
    ] = False
    otel_parent: Annotated[
        bool,
        About(
            "Whether the trace of a job's attempts continues that of its submission, instead of "
            "being linked to it (docs/tracing.md).",
            readers="run worker",
        ),
    ] = False
    quiet: Annotated[
        bool,
        About(
            "Whether to print no line for each request and each job. Only a terminal shows these.",
            flag="--quiet",
            readers="run",
        ),
    ] = False
    console_url: Annotated[
        str | None,
        About(
            "URL of a running console, such as http://127.0.0.1:9091.",
            flag="--url",
            kind="url",
            shown="that of the `run` of this user on this machine",
            readers="jobs queue",
        ),
    ] = None
    console_token: Annotated[
        str | None,
        About(
            "Token for the console at --url. There is no option for it: other users can read "
            "command lines.",
            shown="that of a `run` of this user at that URL",
            readers="jobs queue",
        ),
    ] = None
    log_level: Annotated[
        LogLevel,
        About(
            "Minimum level of log records.",
            flag="--log-level",
            readers="run gateway worker operator console",
        ),
    ] = "info"
    log_format: Annotated[
        LogFormat,
        About(
            "Format of the log on stderr: text, json (one object per line), or auto, which is text "
            "on a terminal and json otherwise.",
            readers="run gateway worker operator console",
        ),
    ] = "auto"
    history_folder: Annotated[
        Path | None,
        About(
            "Folder in which every call to the store is recorded, one file for each process. For "
            "tests of what the system promises (docs/reliability.md); it slows the process down.",
            readers="run gateway worker",
        ),
    ] = None
    installation_id: Annotated[
        str,
        About(
            "Identity of this installation, stored with each queue in Redis, so that clusters that "
            "share a Redis do not use each other's queues. Set by the chart; by default, chart and "
            "operator use the UID of the namespace kube-system.",
            kind="name",
            readers="run gateway worker operator console",
        ),
    ] = "local"
    pod_uid: Annotated[
        str | None,
        About(
            "UID of the pod, part of a worker's identity. Set by the operator.",
            kind="name",
            shown="the host name",
            readers="worker",
        ),
    ] = None
