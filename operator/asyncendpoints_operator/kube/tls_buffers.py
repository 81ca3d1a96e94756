"""The size of asyncio's buffer for a TLS connection.

asyncio allocates and fills 256 KiB for each connection, and as much for each read. The operator has
a connection for each watch, most of which are idle: smaller buffers take 5 MB less. asyncio has no
option for it, so a class attribute is set here; if it is not there, nothing changes.
"""

from asyncio import sslproto
from typing import Any, Final

TLS_BUFFER_BYTES: Final = 32 * 1024
"""More than one record of TLS (RFC 8446 §5.2: 16 KiB and 256 bytes)."""


def limit_tls_buffers() -> None:
    """Make the buffers of all TLS connections opened from now on smaller, in all event loops."""
    protocol: Any = getattr(sslproto, "SSLProtocol", None)
    if isinstance(getattr(protocol, "max_size", None), int):
        protocol.max_size = TLS_BUFFER_BYTES
