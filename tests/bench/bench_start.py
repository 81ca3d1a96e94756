"""From the start of `asyncendpoints run` to its first 202, beside uvicorn with a bare Starlette.

With the memory store, and on a Redis that runs already. Starts alternate; medians count.
`python tests/bench/bench_start.py [--rounds N]` prints one JSON line.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml

from bench.bench_typical import DOCUMENT, HERE
from support.ports import free_port
from support.redis.server import RedisServer

ECHO = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def work(request):
    return Response(await request.body(), status_code=202)

app = Starlette(routes=[Route("/work", work, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""
SECONDS = 60


def until_accepted(command: list[str], port: int) -> float:
    """Return the milliseconds from the start of a server to its first 202; then end it."""
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(HERE)}  # of the handlers
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        while not accepted(port):
            if process.poll() is not None or time.perf_counter() - began > SECONDS:
                raise RuntimeError(f"{' '.join(command[:4])} does not answer 202")
            time.sleep(0.002)
        return (time.perf_counter() - began) * 1000
    finally:
        process.terminate()
        process.wait()


def accepted(port: int) -> bool:
    """Submit once; tell whether it was accepted."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with suppress(OSError):
        connection.request("POST", "/work", b"{}", {"Content-Type": "application/json"})
        return connection.getresponse().status == 202
    return False


def measure(file: Path, rounds: int) -> dict[str, float]:
    """Return the medians of each way to start."""
    found: dict[str, list[float]] = {}
    run = [sys.executable, "-m", "asyncendpoints_cli", "run", str(file), "--admin-port", "0"]
    with RedisServer() as redis:
        for _ in range(rounds):
            commands = {
                "uvicorn ms": [sys.executable, "-c", ECHO],
                "run ms": [*run, "--port"],
                "run with Redis ms": [*run, "--redis", redis.url, "--port"],
            }
            for name, command in commands.items():
                port = free_port()
                found.setdefault(name, []).append(until_accepted([*command, str(port)], port))
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "endpoint.yaml"
        file.write_text(yaml.safe_dump(DOCUMENT))
        print(json.dumps(measure(file, options.rounds)))


if __name__ == "__main__":
    main()
