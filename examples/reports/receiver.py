"""Receives the webhooks of an endpoint and prints each whose signature is valid.

`python receiver.py PORT SECRET_FILE`; port 0 picks a free one.
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

MAX_AGE_SECONDS = 300


def key_of(file: Path) -> bytes:
    """Return the key in the file of a secret, whsec_ and base64."""
    return base64.b64decode(file.read_text().strip().removeprefix("whsec_"))


class Receiver(BaseHTTPRequestHandler):
    """Verifies requests as standardwebhooks.com describes."""

    key = b""

    def do_POST(self) -> None:
        """Print a valid event."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_valid(body):
            self.send_error(401)
            return
        event = json.loads(body)
        job = event["data"]["job"]
        print(event["type"], job["id"], job["name"], flush=True)
        self.send_response(204)
        self.end_headers()

    def _is_valid(self, body: bytes) -> bool:
        sent = self.headers.get("webhook-timestamp", "")
        signed = f"{self.headers.get('webhook-id')}.{sent}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.digest(self.key, signed, hashlib.sha256)).decode()
        given = self.headers.get("webhook-signature", "").split()
        fresh = sent.isdecimal() and abs(time.time() - int(sent)) < MAX_AGE_SECONDS
        return fresh and any(hmac.compare_digest(expected, one) for one in given)

    def log_message(self, *_: object) -> None:
        """Print events alone."""


def main() -> None:
    """Serve until the process is ended."""
    port, secret = int(sys.argv[1]), Path(sys.argv[2])
    Receiver.key = key_of(secret)
    server = HTTPServer(("127.0.0.1", port), Receiver)
    print(f"receiving on port {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
