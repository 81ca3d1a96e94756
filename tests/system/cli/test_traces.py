"""One trace from the client through gateway, queue and handler, received as a collector does."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.cli import SECONDS, Command, ask, final, write_endpoint

CODE = """\
import os, signal
from asyncendpoints import JobContext, handler
from opentelemetry import trace

@handler("work")
def work(text: str, job: JobContext) -> str:
    with trace.get_tracer("mine").start_as_current_span("own"):
        if not os.path.exists(os.environ["CRASHED"]):
            open(os.environ["CRASHED"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if job.attempt == 1:
            raise ConnectionError("a dependency is away")
        return job.traceparent
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = "b7ad6b7169203331"


class Collector:
    """An OTLP receiver on a free port that keeps every span."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        changed = self._changed = threading.Condition()
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                with changed:
                    for resource in request.resource_spans:
                        for scope in resource.scope_spans:
                            spans.extend(scope.spans)
                    changed.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def named(self, name: str) -> list[Any]:
        """Return the spans of this name, oldest first."""
        with self._changed:
            found = [span for span in self.spans if span.name == name]
        return sorted(found, key=lambda span: int(span.start_time_unix_nano))

    def wait_for(self, name: str, count: int) -> list[Any]:
        """Wait until there are `count` spans of this name."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.named(name)) >= count, SECONDS)
        found = self.named(name)
        assert len(found) == count, [span.name for span in self.spans]
        return found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def attributes(span: Any) -> dict[str, object]:
    found = {}
    for each in span.attributes:
        kind = each.value.WhichOneof("value")
        found[each.key] = getattr(each.value, kind)
    return found


def test_a_job_is_followed_across_a_crash_and_a_retry(
    tmp_path: Path, redis_url: str, collector: Collector
) -> None:
    file = write_endpoint(tmp_path, CODE, more="  retry: {maxRetries: 3, initialSeconds: 0.1}\n")
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "CRASHED": str(tmp_path / "crashed"),
    }
    options = ("--port", "0", "--admin-port", "0", "--redis", redis_url)
    with Command("run", file, *options, env=env) as run:
        (url,) = run.ready()
        answer = ask(
            f"{url}/work",
            "POST",
            "x",
            Content_Type="text/plain",
            traceparent=f"00-{TRACE}-{CLIENT}-01",
        )
        job = final(url + answer.headers["Location"])
        assert job["state"] == "Completed", run.err
        result = ask(url + job["links"]["result"]).body.decode().strip('"')
        assert run.stop() == 0

    [send] = collector.wait_for("send work", 1)
    assert (send.trace_id.hex(), send.parent_span_id.hex()) == (TRACE, CLIENT)
    # The first attempt died with its process; what it recorded died too.
    retried, completed = collector.wait_for("process work", 2)
    assert [event.name for event in retried.events] == ["recovery", "retry"]
    assert list(completed.events) == []
    for process in (retried, completed):
        [link] = process.links
        assert (link.trace_id, link.span_id) == (send.trace_id, send.span_id)
        assert process.parent_span_id == b""
        assert attributes(process)["messaging.message.id"] == job["id"]
    assert attributes(retried)["error.type"] == "handler-error"
    owns = collector.wait_for("own", 2)
    assert [own.parent_span_id for own in owns] == [retried.span_id, completed.span_id]
    assert result[:-3] == f"00-{completed.trace_id.hex()}-{completed.span_id.hex()}"
    links = [link.span_id for settle in collector.named("settle") for link in settle.links]
    assert links == [retried.span_id, completed.span_id]
