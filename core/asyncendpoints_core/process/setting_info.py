"""The metadata of a setting."""

from dataclasses import dataclass
from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "text", "json"]
Kind = Literal[
    "text",
    "name",
    "number",
    "switch",
    "choice",
    "path",
    "url",
    "host",
    "names",
    "objects",
    "cidrs",
    "ports",
    "addresses",
    "certificates",
]


@dataclass(frozen=True, slots=True)
class About:
    """The metadata of a setting, besides its name, type and default.

    `readers` are the commands that use it, `flag` is its command line option ("" for none), `kind`
    how its text is parsed, `unit` the unit of a number, `shown` a description of the default that
    replaces its value in the documentation. Numbers, switches, choices and paths are so by type.
    """

    description: str
    readers: str
    flag: str = ""
    kind: Kind = "text"
    unit: str = ""
    shown: str = ""
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0
