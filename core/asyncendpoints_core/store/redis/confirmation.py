"""How a write is confirmed under `durability: strict`: by the disk and by a replica.

Either alone is not enough: a promoted replica does not have what is only on the disk of the former
master, and WAITAOF is of 7.2. What a server does not have is not waited for.

Since 7.2 both heed the last write of their own connection alone. A script that only finds what was
written by way of another one, such as the job of a repeated submission, writes nothing: so a write
always comes before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncendpoints_core.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WAITAOF_SINCE: Final = (7, 2)
CONFIRM_MS: Final = 2_000

_DISK: Final = ("WAITAOF", "1", "0", str(CONFIRM_MS))
_REPLICA: Final = ("WAIT", "1", str(CONFIRM_MS))
_LOOK: Final = ("INFO", "replication")


class Confirmation:
    """The commands that follow a write, and the meaning of their replies.

    Once a replica was seen, every write waits for one: without, nothing is confirmed any more.
    """

    def __init__(self, info: Mapping[str, str], version: tuple[int, int], meta: str) -> None:
        """Prepare for a server with this `info`. `meta`: a key of the store, a hash."""
        self._write = ("HSET", meta, "confirmed", "1")
        self._disk = version >= WAITAOF_SINCE and info.get("aof_enabled") == "1"
        self._replica = info.get("connected_slaves", "0") != "0"

    def commands(self) -> list[tuple[str, ...]]:
        """Return the commands to send after a script, on the same connection."""
        disk = [_DISK] if self._disk else []
        return [self._write, *disk, _REPLICA if self._replica else _LOOK]

    def check(self, replies: Sequence[Any]) -> None:
        """Raise StoreUnavailable unless all that there is confirmed every write before; learn of a
        replica.

        `replies` are those to `commands()`.
        """
        written, *disk, replica = replies
        if not isinstance(written, int):
            raise StoreUnavailable("nothing can be written that the disk and replicas confirm")
        if disk and not (isinstance(disk[0], list) and disk[0][0]):
            raise StoreUnavailable("the disk did not confirm the write in time")
        if isinstance(replica, bytes) and b"connected_slaves:0\r" in replica:
            return
        self._replica = True
        if not (isinstance(replica, int) and replica):
            raise StoreUnavailable("no replica confirmed the write in time")
