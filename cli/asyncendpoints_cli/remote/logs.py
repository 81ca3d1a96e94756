"""`jobs logs`: what the handler of a job has logged, with `-f` until the job is final."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from asyncendpoints_cli.remote.showing import whole_ids
from asyncendpoints_cli.remote.text import escaped

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from asyncendpoints_cli.remote.client import Endpoint


def show(endpoint: Endpoint, options: Namespace) -> None:
    """Write the logs to standard output."""
    [job_id] = whole_ids(endpoint, [options.id])
    path = f"/jobs/{job_id}/logs"
    if options.attempt is not None:
        path += f"?attempt={options.attempt}"
    if options.follow:
        _follow(endpoint, path)
        return
    _, body = endpoint.download(path)
    if body:
        _write(body.decode(errors="replace"))
    else:
        sys.stderr.write("no logs; they are kept where the endpoint has worker.logs\n")


def _follow(endpoint: Endpoint, path: str) -> None:
    """Write logs as they come. The stream may end before the job: it goes on where it was."""
    position: dict[str, str] = {}
    claim = None
    while True:
        with endpoint.stream(path, position) as lines:
            for event, number, data in _events(lines):
                if event == "end":
                    return
                if data["claim"] != claim:
                    claim = data["claim"]
                    _write(f"--- attempt {data['attempt']} ---\n")
                _write(data["text"])
                position = {"Last-Event-ID": number}


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield the name, the id and the data of each event."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
            fields = {}


def _write(text: str) -> None:
    if sys.stdout.isatty():
        lines = ("\t".join(map(escaped, line.split("\t"))) for line in text.split("\n"))
        text = "\n".join(lines)
    sys.stdout.write(text)
    sys.stdout.flush()
