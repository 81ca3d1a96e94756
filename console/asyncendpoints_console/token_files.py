"""The tokens of a console in a pod: a folder with a file for each role, mounted from Secrets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from asyncendpoints_console.access import Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from asyncendpoints_core.common.time_source import TimeSource

log = logging.getLogger("asyncendpoints.console")

CHECK_SECONDS: Final = 1.0
"""The shortest time between two readings of the files."""
MAX_TOKEN_BYTES: Final = 4_096


class TokenFiles:
    """The tokens in a folder's files, which are named after their roles."""

    def __init__(self, folder: Path, time: TimeSource) -> None:
        """Read the files at the first call, and again when they may have changed."""
        self._folder = folder
        self._time = time
        self._read_at = float("-inf")
        self._tokens: dict[Role, str] = {}

    def __call__(self) -> Mapping[Role, str]:
        """Return the tokens; a role whose file is missing, empty or too large has none."""
        now = self._time.monotonic()
        if now - self._read_at >= CHECK_SECONDS:
            self._read_at = now
            found = {role: token for role in Role if (token := self._read(role))}
            if found != self._tokens:
                log.info("the console accepts the tokens: %s", ", ".join(found) or "none")
            self._tokens = found
        return self._tokens

    def _read(self, role: Role) -> str:
        try:
            with (self._folder / role.value).open("rb") as file:
                content = file.read(MAX_TOKEN_BYTES + 1)
        except OSError:
            return ""
        return content.decode("utf-8", "replace").strip() if len(content) <= MAX_TOKEN_BYTES else ""
