"""Checks a Redis URL before redis-py reads it, which lets a URL override any of its options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from asyncendpoints_core.common.redaction import redact_url
from asyncendpoints_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMES: Final = (
    "redis",
    "rediss",
    "unix",
    "redis+cluster",
    "rediss+cluster",
    "redis+sentinel",
    "rediss+sentinel",
)
_MAX_DATABASE: Final = 1_000_000


def _any_text(value: str) -> str:
    return "" if value else "must not be empty"


def _database(value: str) -> str:
    if re.fullmatch(r"[0-9]{1,7}", value) and int(value) <= _MAX_DATABASE:
        return ""
    return f'must be the number of a database, not "{value[:40]}"'


def _file(value: str) -> str:
    return "" if Path(value).is_file() else f"{value[:200]} is not a file"


def _folder(value: str) -> str:
    return "" if Path(value).is_dir() else f"{value[:200]} is not a folder"


def _one_of(*choices: str) -> Callable[[str], str]:
    text = f"must be one of {', '.join(choices)}"
    return lambda value: "" if value in choices else text


_LOGIN: Final = {"username": _any_text, "password": _any_text, "client_name": _any_text}
_DATABASE: Final = {"db": _database}
_SENTINEL: Final = {"sentinel_username": _any_text, "sentinel_password": _any_text}
_TLS: Final = {
    "ssl_ca_certs": _file,
    "ssl_ca_path": _folder,
    "ssl_certfile": _file,
    "ssl_keyfile": _file,
    "ssl_password": _any_text,
    "ssl_cert_reqs": _one_of("none", "optional", "required"),
    "ssl_check_hostname": _one_of("true", "false"),
    "ssl_ciphers": _any_text,
}


def check_url(url: str) -> None:
    """Raise UsageError, with one line that names the fault, for a Redis URL that is not valid."""
    _check(url, _scheme, _password, _hosts, _path, _options)


def check_form(url: str) -> None:
    """Check a Redis URL but for its options, which may name files of another container."""
    _check(url, _scheme, _password, _hosts, _path)


def _check(url: str, *parts: Callable[[str], str]) -> None:
    try:
        reason = next(filter(None, (check(url) for check in parts)), "")
    except ValueError:  # such as a bracket; what Python says of it may contain the password
        reason = "is not valid: percent-encode special characters of the user name and password"
    if reason:
        raise UsageError(f"the Redis URL {redact_url(url)} {reason}")


def _scheme(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        forms = "redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://"
        return f"must begin with {forms}"
    return 'is not valid: write "#" as %23' if "#" in url else ""


def _password(url: str) -> str:
    """Whether a password ends the part that it is in: the rest would be shown as host or path."""
    parts = urlsplit(url)
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    in_query = "@" in parts.query and "@" not in parts.netloc and not {*names} <= {*_known(parts)}
    if parts.scheme == "unix" or not ("@" in parts.path or in_query):
        return ""
    return 'is not valid: write "/" and "?" in a password as %2F and %3F'


def _hosts(url: str) -> str:
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    if parts.scheme == "unix":
        return f'is not valid: write "unix:///{hosts[:60]}/…", with three slashes' if hosts else ""
    several = "+" in parts.scheme
    for address in hosts.split(",") if several else [hosts]:
        try:
            one = urlsplit(f"//{address}")
            if not one.hostname:
                return "is not valid: a host is missing"
            if not re.fullmatch(r"[\w.:%-]+", one.hostname):
                raise ValueError(one.hostname)
            _ = one.port
        except ValueError:
            return f'is not valid: "{address[:60]}" is not HOST:PORT'
    return ""


def _path(url: str) -> str:
    parts = urlsplit(url)
    path = unquote(parts.path).strip("/")
    if parts.scheme == "unix":
        return "" if path else "is not valid: the path of the socket is missing"
    if parts.scheme.endswith("+sentinel"):
        service, slash, path = path.partition("/")
        if not service:
            return "is not valid: the name of the Sentinel service is missing"
        if not slash:
            return ""
    if parts.scheme.endswith("+cluster") and path not in ("", "0"):
        return "is not valid: a Cluster has database 0 only"
    reason = _database(path) if path else ""
    return f"is not valid: the path {reason}" if reason else ""


def _options(url: str) -> str:
    parts = urlsplit(url)
    known = _known(parts)
    given = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in given]
    for name, value in given:
        if name not in known:
            return f'has an unknown option "{name[:40]}": {", ".join(sorted(known))} are known'
        if names.count(name) > 1:
            return f'is not valid: "{name}" is given twice'
        if reason := known[name](value):
            return f"is not valid: {name} {reason}"
    if "db" in names and parts.scheme != "unix" and parts.path.strip("/"):
        return "is not valid: the database is in the path and in db"
    return ""


def _known(parts: SplitResult) -> Mapping[str, Callable[[str], str]]:
    known: dict[str, Callable[[str], str]] = dict(_LOGIN)
    if "+" not in parts.scheme:
        known |= _DATABASE
    if parts.scheme.endswith("+sentinel"):
        known |= _SENTINEL
    if parts.scheme.startswith("rediss"):
        known |= _TLS
    return known
