"""The settings of a process, from flags, environment variables and defaults, in that order.

Options of an endpoint are in its resource; settings are those that differ between processes. Each
setting is described where it is defined; docs/settings.md is generated from that.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from asyncendpoints_core.common.faults import one_line
from asyncendpoints_core.errors import UsageError
from asyncendpoints_core.process.operator_settings import OperatorSettings
from asyncendpoints_core.process.setting_info import About, Kind

PREFIX: Final = "ASYNCENDPOINTS_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as returned by `all_settings`."""

    name: str
    default: object
    about: About

    @property
    def env(self) -> str:
        """The environment variable of the setting."""
        return PREFIX + self.name.upper()

    @property
    def default_text(self) -> str:
        """The default as text for the documentation."""
        if self.about.shown or self.default is None:
            return self.about.shown or "none"
        return str(self.default).lower()


@dataclass(frozen=True, slots=True)
class Settings(OperatorSettings):
    """The settings of one process, read once at startup."""

    def redis_source(self) -> Callable[[], str] | None:
        """Return a function that returns the URL of Redis at each connect, None if it is not set.

        The function raises UsageError if the file is missing or empty.
        """
        if self.redis_url is not None:
            url = self.redis_url
            return lambda: url
        if self.redis_url_file is not None:
            path = self.redis_url_file
            return lambda: read_url(path)
        return None


def all_settings() -> tuple[Setting, ...]:
    """Return all settings, in the order of their definition."""
    hints = get_type_hints(Settings, include_extras=True)
    found = []
    for field in fields(Settings):
        value, about = get_args(hints[field.name])
        found.append(Setting(field.name, field.default, _typed(about, value)))
    return tuple(found)


def _typed(about: About, hint: Any) -> About:
    """Complete a setting's metadata by what its type says."""
    for value in (hint, *get_args(hint)) if about.kind == "text" else ():  # `int` of `int | None`
        if value in _KINDS:
            return replace(about, kind=_KINDS[value])
        if get_origin(value) is Literal:
            return replace(about, kind="choice", choices=get_args(value))
    return about


def load(
    flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings; raises UsageError with one line for each invalid value.

    `flags` are by the settings' names; None means not given. `environ` defaults to that of the
    process. An empty variable counts as not set. Unknown `ASYNCENDPOINTS_…` variables are ignored:
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
            values[one.name] = _read(one, raw)
        except ValueError as error:
            faults.append(one_line(f"{origin}: {error}"))
    if "redis_url" not in given and "redis_url_file" in values:
        values.pop("redis_url", None)
    if faults:
        raise UsageError("\n".join(faults))
    return Settings(**values)


def _is_service_link(about: About, raw: str) -> bool:
    """Whether Kubernetes set a port's variable, for a Service named asyncendpoints-…."""
    return about.kind == "number" and re.match(r"(tcp|udp|sctp)://", raw) is not None


def _read(setting: Setting, raw: object) -> object:
    """Parse the value of a flag or variable; raises ValueError with the reason."""
    about = setting.about
    if about.kind == "switch" and isinstance(raw, bool):
        return raw
    text = (",".join(raw) if isinstance(raw, list) else str(raw)).strip()
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
    if about.kind == "host":
        return _host(text)
    if about.kind == "url" and "://" not in text:  # not quoted: it may contain a password
        raise ValueError("must be a URL, such as " + _EXAMPLES[setting.name])
    if about.kind == "name" and not _NAME.fullmatch(text):
        raise ValueError('must be 1 to 63 letters, digits, ".", "_" or "-"')
    if not text:
        raise ValueError("must not be empty")
    if about.kind == "objects":
        return _objects(text)
    if about.kind in _PARSERS:
        return _PARSERS[about.kind](text)
    return Path(text).expanduser() if about.kind == "path" else text


def _host(text: str) -> str:
    """Parse one host that others connect to; raises ValueError with the reason."""
    [host, *more] = _hosts(text)
    if more or host in {"*", "0.0.0.0", "::"}:  # noqa: S104 - refused
        raise ValueError(f'must be one host name or address to connect to, not "{text[:40]}"')
    return host


def _hosts(text: str) -> tuple[str, ...]:
    """Parse host names; raises ValueError with the reason."""
    names = tuple(name.strip().lower() for name in text.split(","))
    for name in names:
        if name != "*" and not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f]*(:[0-9a-f.]*){2,}", name):
            raise ValueError(f'must be host names without a port, not "{text[:40]}"')
    return names


def _cidrs(text: str) -> tuple[str, ...]:
    """Parse blocks of addresses; raises ValueError with the reason."""
    found = tuple(part.strip() for part in text.split(","))
    for part in found:
        try:
            ip_network(part)
        except ValueError:
            raise ValueError(f'must be CIDR blocks such as 10.0.0.0/8, not "{part[:40]}"') from None
    return found


def _ports(text: str) -> tuple[int, ...]:
    """Parse port numbers; raises ValueError with the reason."""
    found = tuple(part.strip() for part in text.split(","))
    for part in found:
        if not re.fullmatch(r"[0-9]{1,5}", part) or not 1 <= int(part) <= 65_535:
            raise ValueError(f'must be ports from 1 to 65535, not "{part[:40]}"')
    return tuple(map(int, found))


def _addresses(text: str) -> tuple[str, ...]:
    """Parse HOST:PORT, IPv6 addresses in any notation; raises ValueError with the reason."""
    found = []
    for part in text.split(","):
        host, _, port = part.strip().lower().rpartition(":")
        try:
            host = _canonical(host)
        except ValueError:
            host = ""
        if not host or not port.isdigit():
            raise ValueError(f'must be HOST:PORT such as 127.0.0.1:9000, not "{part.strip()[:40]}"')
        _ports(port)
        found.append(f"{host}:{port}")
    return tuple(found)


def _canonical(host: str) -> str:
    """Return a host name as it is, an IPv6 address in brackets in its shortest form; raises
    ValueError.
    """
    if re.fullmatch(r"\[[0-9a-f:.]+\]", host):
        return f"[{IPv6Address(host[1:-1])}]"
    return host if re.fullmatch(r"[a-z0-9._-]+", host) else ""


def _certificates(text: str) -> str:
    """Return certificates, given as PEM or as the path of a file with them; raises ValueError with
    the reason.
    """
    import ssl  # not at the start of every command

    where = ""
    if not text.startswith("-----BEGIN"):
        where = f' ("{text[:80]}")'
        try:
            text = Path(text).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise ValueError(f"{(reason or 'is not text').lower()}{where}") from None
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise ValueError(f"must be certificates in PEM, or a file with them{where}") from None
    return text


def _objects(text: str) -> tuple[dict[str, Any], ...]:
    """Parse a JSON list of objects; raises ValueError with the reason."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f'must be a JSON list of objects, not "{text[:40]}"')
    return tuple(found)


_PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "names": _hosts,
    "cidrs": _cidrs,
    "ports": _ports,
    "addresses": _addresses,
    "certificates": _certificates,
}
_KINDS: Final[Mapping[Any, Kind]] = {int: "number", bool: "switch", Path: "path"}
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_EXAMPLES: Final = {
    "redis_url": "redis://127.0.0.1:6379/0",
    "console_url": "http://127.0.0.1:9091",
    "http_target": "http://127.0.0.1:3000/",
    "webhook_proxy": "http://proxy.example.com:3128",
}


def read_url(path: Path) -> str:
    """Read a URL from a file, such as a mounted Secret; raises UsageError if there is none."""
    try:
        url = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UsageError(f"{path}: {(reason or 'cannot be read').lower()}") from None
    if "://" not in url or "\n" in url:
        raise UsageError(f"{path}: must contain one URL, such as {_EXAMPLES['redis_url']}")
    return url
