"""What is to be known of a setting beside its name, type and default."""

from dataclasses import dataclass
from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "text", "json"]
Kind = Literal["text", "name", "number", "switch", "choice", "path", "url", "objects"]


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
