"""What runs in the receiver's pod: python3 -c SOURCE PORT. Only the standard library is there.

POST /hooks is kept and answered with 200. POST /hold holds what comes from then on; POST /release
ends that, and what was held gets no answer. GET /deliveries returns what came: [[headers, body in
base64], …].
"""

import base64
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

kept: list[Any] = []
released = threading.Event()
released.set()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/hold":
            released.clear()
        elif self.path == "/release":
            released.set()
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.append([headers, base64.b64encode(body).decode()])
            if not released.is_set():
                released.wait()
                self.close_connection = True
                return
        self._answer()

    def do_GET(self) -> None:
        self._answer(json.dumps(kept).encode())

    def _answer(self, body: bytes = b"") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
