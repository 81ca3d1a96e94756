"""Imports aiohttp without the certificates of the system's CAs.

aiohttp makes a TLS context when it is imported, into which it reads all of them: 2 MB. No
connection of the operator uses that context: the client of the Kubernetes API and the watches have
contexts of their own, made later. If aiohttp has been imported before, nothing changes.
"""

import ssl
from typing import Any


def _import_aiohttp() -> None:
    context: Any = ssl.SSLContext
    load = context.load_default_certs
    context.load_default_certs = lambda *_: None
    try:
        import aiohttp.connector  # noqa: F401
    finally:
        context.load_default_certs = load


_import_aiohttp()
