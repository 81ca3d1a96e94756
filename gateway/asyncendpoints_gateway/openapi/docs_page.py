"""The docs page: one self-contained HTML document, whose script shows the OpenAPI description.

The page holds nothing of the endpoint, so it is served without a token; its script fetches the
description with the token. Its Content-Security-Policy allows only its own script and style and
requests to this gateway.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files

_SCRIPTS = ("docs.js", "try.js")


@cache
def _asset(*names: str) -> str:
    folder = files("asyncendpoints_gateway.openapi") / "static"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def page_headers() -> dict[str, str]:
    """Return the headers of the page."""
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; img-src data:; "
        f"script-src {_hash(_asset(*_SCRIPTS))}; style-src {_hash(_asset('docs.css'))}"
    )
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def docs_page(base: str, *, guarded: bool) -> bytes:
    """Return the page, whose links begin with `base`; `guarded`: requests need a bearer token."""
    marks = f'data-base="{escape(base, quote=True)}"' + (" data-guarded" if guarded else "")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<title>API</title><link rel="icon" href="data:,">'
        f"<style>{_asset('docs.css')}</style></head>"
        f'<body {marks}><nav id="toc" aria-label="Contents"></nav><main>'
        '<form id="access" hidden><label for="token">Bearer token</label><div>'
        '<input id="token" type="password" autocomplete="off" required>'
        "<button>Open</button></div></form>"
        '<p id="notice" class="muted" role="status"></p>'
        "<noscript><p>This page needs JavaScript. The OpenAPI description is "
        f'<a href="{escape(base, quote=True)}/openapi.json">openapi.json</a>.</p></noscript>'
        '<div id="content"><h1>API</h1></div></main>'
        f"<script>{_asset(*_SCRIPTS)}</script></body></html>"
    ).encode()
