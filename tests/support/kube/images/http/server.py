"""A server that waits as long as the body says, and exits at once on SIGTERM."""

import json
import os
import signal
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """POST {"seconds", "value"} answers {"value"} after that time."""

    def do_POST(self) -> None:
        """Run one job."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(body.get("seconds", 0))
        answer = json.dumps({"value": body.get("value")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("", 3000), Handler).serve_forever()
