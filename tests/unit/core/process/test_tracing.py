"""The spans of a job, from an in-memory exporter."""

import subprocess
import sys

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from asyncendpoints_core.errors import StoreUnavailable
from asyncendpoints_core.jobs import records
from asyncendpoints_core.jobs.records import Attempt, ClaimedJob, JobError, Outcome
from asyncendpoints_core.process.tracing import SCHEMA_URL, Tracing, is_configured
from asyncendpoints_core.store.memory import MemoryStore
from asyncendpoints_core.store.replies import Settled
from support.store.stores import DONE, Hand, hand, new

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FAILED = JobError("handler-error", "the body was secret", True)


class Scene:
    """A store behind the tracing, a worker, and the spans that have ended."""

    def __init__(self, *, parent: bool = False) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing("default/work", self.provider, parent=parent)
        self.store = MemoryStore()
        self.worker: Hand | None = None

    async def claim(self, traceparent: str = CLIENT) -> ClaimedJob:
        job = new()
        request = msgspec.structs.replace(job.request, headers={"traceparent": traceparent})
        job = msgspec.structs.replace(job, request=request)
        await self.tracing.send(self.store.enqueue)([job])
        self.worker = self.worker or await hand(self.store)
        return await self.worker.one()

    def run(self, claimed: ClaimedJob) -> ClaimedJob:
        with self.tracing.process(claimed) as traced:
            return traced

    async def settle(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self.tracing.ended(outcome)
        await self.tracing.settle(self.store.settle)(outcomes)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name.partition(" ")[0]: span for span in self._exporter.get_finished_spans()}


def written(context: SpanContext | None) -> str:
    """Return a context as a traceparent."""
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def text(span: ReadableSpan) -> str:
    return written(span.get_span_context())


def linked(span: ReadableSpan) -> list[str]:
    return [written(link.context) for link in span.links]


async def test_a_job_from_the_client_to_its_end() -> None:
    scene = Scene()
    claimed = await scene.claim()
    traced = scene.run(claimed)
    await scene.settle(records.complete(claimed.claim, DONE))
    send, process, settle = (scene.spans[each] for each in ("send", "process", "settle"))

    assert send.parent is not None
    assert f"{send.parent.span_id:016x}" == "b7ad6b7169203331"
    assert claimed.job.traceparent == text(send)
    assert (process.parent, linked(process)) == (None, [text(send)])
    assert traced.job.traceparent == text(process)
    assert (settle.parent, linked(settle)) == (None, [text(process)])
    assert [each.kind.name for each in (send, process, settle)] == [
        "PRODUCER",
        "CONSUMER",
        "CLIENT",
    ]
    for span in (send, process, settle):
        attributes = dict(span.attributes or {})
        operation = span.name.partition(" ")[0]
        assert attributes["messaging.system"] == "asyncendpoints"
        assert attributes["messaging.operation.name"] == operation
        assert attributes["messaging.operation.type"] == operation
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.schema_url == SCHEMA_URL
        assert span.status.status_code is trace.StatusCode.UNSET
    attributes = dict(process.attributes or {})
    assert attributes["messaging.destination.name"] == claimed.job.name
    assert attributes["asyncendpoints.attempt"] == 1
    assert float(str(attributes["asyncendpoints.queue_wait_seconds"])) >= 0
    assert dict(settle.attributes or {})["messaging.batch.message_count"] == 1


async def test_process_may_be_a_child_of_send() -> None:
    scene = Scene(parent=True)
    claimed = await scene.claim()
    scene.run(claimed)
    await scene.settle(records.complete(claimed.claim, DONE))
    send, process = scene.spans["send"], scene.spans["process"]
    assert process.parent is not None
    assert written(process.parent) == text(send)


async def test_what_a_handler_starts_is_below_process() -> None:
    scene = Scene()
    claimed = await scene.claim()
    with scene.tracing.process(claimed):
        scene.provider.get_tracer("mine").start_span("own").end()
    assert not trace.get_current_span().get_span_context().is_valid
    await scene.settle(records.complete(claimed.claim, DONE))
    assert scene.spans["own"].parent == scene.spans["process"].get_span_context()


@pytest.mark.parametrize("kind", ["retry", "time-out", "release", "cancel"])
async def test_how_an_attempt_ended(kind: str) -> None:
    scene = Scene()
    claimed = await scene.claim()
    scene.run(claimed)
    await scene.settle(
        {
            "retry": records.retry_later(claimed.claim, FAILED, 1_500),
            "time-out": records.timed_out(claimed.claim, FAILED, 1_500),
            "release": records.release(claimed.claim),
            "cancel": records.canceled(claimed.claim),
        }[kind]
    )
    process = scene.spans["process"]
    [event] = process.events
    assert event.name == kind
    failed = kind in ("retry", "time-out")
    assert (process.status.status_code is trace.StatusCode.ERROR) is failed
    assert dict(process.attributes or {}).get("error.type") == ("handler-error" if failed else None)
    assert dict(event.attributes or {}) == ({"asyncendpoints.delay_seconds": 1.5} if failed else {})
    assert "secret" not in process.to_json()


async def test_an_attempt_after_a_crash_says_so() -> None:
    scene = Scene()
    claimed = await scene.claim()
    lost = Attempt(1, 1, 2, "recovered", JobError("worker-crashed", "killed by SIGKILL"))
    job = msgspec.structs.replace(claimed.job, attempts=(lost,))
    scene.run(msgspec.structs.replace(claimed, job=job))
    await scene.settle(records.complete(claimed.claim, DONE))
    [event] = scene.spans["process"].events
    assert event.name == "recovery"
    assert dict(event.attributes or {}) == {
        "asyncendpoints.attempt": 1,
        "error.type": "worker-crashed",
    }


async def test_a_store_that_fails() -> None:
    scene = Scene()
    claimed = await scene.claim()
    scene.run(claimed)
    outcome = records.complete(claimed.claim, DONE)
    scene.tracing.ended(outcome)

    async def away(_: object) -> list[Settled]:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        await scene.tracing.settle(away)([outcome])
    assert dict(scene.spans["settle"].attributes or {})["error.type"] == "StoreUnavailable"
    await scene.tracing.settle(scene.store.settle)([outcome])
    assert linked(scene.spans["settle"]) == [text(scene.spans["process"])]


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_when_traces_are_on(variables: dict[str, str], on: bool) -> None:
    assert is_configured(variables) is on


UNCONFIGURED = """
import sys
from asyncendpoints_core.process.tracing import flush_traces, tracing_of
assert tracing_of("default/work") is None
flush_traces()
assert not any(name.partition(".")[0] == "opentelemetry" for name in sys.modules)
"""
WITHOUT_EXTRA = """
import os, sys
sys.modules["opentelemetry"] = None
os.environ["OTEL_TRACES_EXPORTER"] = "otlp"
from asyncendpoints_core.process.tracing import tracing_of
assert tracing_of("default/work") is None
"""
OWN_PROVIDER = """
import os
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
os.environ["OTEL_TRACES_EXPORTER"] = "otlp"
mine = TracerProvider(shutdown_on_exit=False)
trace.set_tracer_provider(mine)
from asyncendpoints_core.process.tracing import tracing_of
assert tracing_of("default/work") is not None
assert trace.get_tracer_provider() is mine
"""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (UNCONFIGURED, ""),
        (WITHOUT_EXTRA, "pip install 'asyncendpoints[otel]'"),
        (OWN_PROVIDER, ""),
    ],
    ids=["not configured", "not installed", "own provider"],
)
def test_what_a_process_imports(code: str, says: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert says in done.stderr
