"""Spans of jobs for OpenTelemetry, following the semantic conventions for messaging.

Nothing of OpenTelemetry is imported unless it is configured by the standard `OTEL_*` variables, or
the user's code has set a tracer provider. Bodies, queries, headers and error messages are not
exported. docs/tracing.md describes the spans.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncendpoints_core import __version__
from asyncendpoints_core.jobs import ids
from asyncendpoints_core.jobs.records import OutcomeKind
from asyncendpoints_core.process.settings import load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, TracerProvider

    from asyncendpoints_core.jobs.records import Claim, ClaimedJob, NewJob, Outcome
    from asyncendpoints_core.store.replies import Enqueued, Settled

    Enqueue = Callable[[Sequence[NewJob]], Awaitable[list[Enqueued]]]
    Settle = Callable[[Sequence[Outcome]], Awaitable[list[Settled]]]

log = logging.getLogger("asyncendpoints")

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.36.0"
SYSTEM: Final = "asyncendpoints"
FLUSH_SECONDS: Final = 2.0
"""How long the end of a process waits for the last spans to be exported."""
PARENT: Final = "ASYNCENDPOINTS_OTEL_PARENT"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EVENTS: Final = {
    OutcomeKind.RETRY: "retry",
    OutcomeKind.TIME_OUT: "time-out",
    OutcomeKind.RELEASE: "release",
    OutcomeKind.CANCELED: "cancel",
}


def tracing_of(endpoint: str) -> Tracing | None:
    """Return the tracing of the endpoint `NAMESPACE/NAME`, None if traces are not configured.

    Call it after the user's code was imported: a tracer provider that it has set is used.
    """
    configured = is_configured(os.environ)
    if not configured and "opentelemetry.trace" not in sys.modules:
        return None
    try:
        from opentelemetry import trace
    except ImportError:
        log.warning("traces are configured; run: pip install 'asyncendpoints[otel]'")
        return None
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        if not configured or (made := _make_provider()) is None:
            return None
        trace.set_tracer_provider(made)
        provider = made
    parent = load(environ={PARENT: os.environ.get(PARENT, "")}).otel_parent
    return Tracing(endpoint, provider, parent=parent)


def is_configured(environ: Mapping[str, str]) -> bool:
    """Return whether the environment says where to export spans to."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or exporter == "none":
        return False
    return exporter == "otlp" or any(environ.get(name) for name in _ENDPOINTS)


def _make_provider() -> TracerProvider | None:
    """Return a provider that exports by OTLP over HTTP; None if the SDK is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("traces are configured; run: pip install 'asyncendpoints[otel]'")
        return None
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create({} if named else {"service.name": SYSTEM})
    # Its own hook at exit would wait longer than `flush_traces`.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def flush_traces() -> None:
    """Export the spans that have ended, for at most FLUSH_SECONDS."""
    if "opentelemetry.trace" not in sys.modules:
        return
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        # In a thread: an exporter may wait longer for a collector than a process may for its end.
        thread = threading.Thread(target=flush, name="flush-traces", daemon=True)
        thread.start()
        thread.join(FLUSH_SECONDS)


class Tracing:
    """The spans of one endpoint in one gateway or engine."""

    def __init__(self, endpoint: str, provider: TracerProvider, *, parent: bool = False) -> None:
        """Make spans of `provider`. `parent`: `process` is a child of `send`, instead of a link."""
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._context, self._trace = context, trace
        self._tracer = provider.get_tracer(SYSTEM, __version__, schema_url=SCHEMA_URL)
        self._propagator = TraceContextTextMapPropagator()
        self._endpoint = endpoint
        self._parent = parent
        # By claim number: spans of running attempts, contexts of attempts that are not settled.
        self._running: dict[int, Span] = {}
        self._ended: dict[int, SpanContext] = {}

    # In the gateway.

    def send(self, enqueue: Enqueue) -> Enqueue:
        """Return `enqueue` with a span for each job, whose context the job carries."""

        async def traced(jobs: Sequence[NewJob]) -> list[Enqueued]:
            spans = [self._start_send(new) for new in jobs]
            try:
                answers = await enqueue(list(map(self._with_context, jobs, spans)))
            except BaseException as error:
                for span in spans:
                    self._fail(span, type(error).__name__)
                    span.end()
                raise
            for span, answer in zip(spans, answers, strict=True):
                if answer.job is None:
                    self._fail(span, answer.status.value)
                span.set_attribute("asyncendpoints.outcome", answer.status.value)
                span.end()
            return answers

        return traced

    def _start_send(self, new: NewJob) -> Span:
        return self._tracer.start_span(
            f"send {new.name}",
            context=self._extracted(new.request.headers),
            kind=self._trace.SpanKind.PRODUCER,
            attributes=self._attributes("send", new.name, ids.text(new.id)),
        )

    def _with_context(self, new: NewJob, span: Span) -> NewJob:
        if not span.get_span_context().is_valid:
            return new
        headers = dict(new.request.headers)
        self._propagator.inject(headers, self._trace.set_span_in_context(span))
        request = msgspec.structs.replace(new.request, headers=headers)
        return msgspec.structs.replace(new, request=request)

    # In the worker.

    @contextmanager
    def process(self, claimed: ClaimedJob) -> Iterator[ClaimedJob]:
        """Start the span of an attempt, current inside; the job it yields carries its context."""
        job, number = claimed.job, claimed.claim.number
        headers = {**claimed.request.headers, "traceparent": job.traceparent}
        sent = self._extracted(headers)
        origin = self._trace.get_current_span(sent).get_span_context()
        span = self._tracer.start_span(
            f"process {job.name}",
            context=sent if self._parent else self._context.Context(),
            kind=self._trace.SpanKind.CONSUMER,
            links=[self._trace.Link(origin)] if origin.is_valid else [],
            attributes={
                **self._attributes("process", job.name, ids.text(job.id)),
                "asyncendpoints.attempt": job.attempt,
                "asyncendpoints.queue_wait_seconds": _waited(claimed),
            },
        )
        if job.attempts and (last := job.attempts[-1]).outcome == "recovered":
            lost: dict[str, Any] = {"asyncendpoints.attempt": last.number}
            if last.error is not None:
                lost["error.type"] = last.error.code
            span.add_event("recovery", lost)
        self._running[number] = span
        token = self._context.attach(self._trace.set_span_in_context(span, self._context.Context()))
        try:
            yield self._carrying(claimed, span)
        finally:
            self._context.detach(token)

    def _carrying(self, claimed: ClaimedJob, span: Span) -> ClaimedJob:
        if not span.get_span_context().is_valid:
            return claimed
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._trace.set_span_in_context(span))
        job = msgspec.structs.replace(claimed.job, traceparent=carrier["traceparent"])
        return msgspec.structs.replace(claimed, job=job)

    def ended(self, outcome: Outcome, *, settled: bool = True) -> None:
        """End the span of an attempt, if that is still open. `settled`: `settle` will follow."""
        number = outcome.claim.number
        span = self._running.pop(number, None)
        if span is None:
            return
        if outcome.error is not None:
            self._fail(span, outcome.error.code)
        if name := _EVENTS.get(outcome.kind):
            delay = {"asyncendpoints.delay_seconds": outcome.delay_ms / 1000}
            span.add_event(name, delay if outcome.delay_ms else None)
        span.end()
        if settled:
            self._ended[number] = span.get_span_context()

    def settle(self, settle: Settle) -> Settle:
        """Return `settle` with a span for each batch, linked to its attempts."""

        async def traced(outcomes: Sequence[Outcome]) -> list[Settled]:
            with self._tracer.start_as_current_span(
                "settle",
                context=self._context.Context(),
                kind=self._trace.SpanKind.CLIENT,
                links=self._links([outcome.claim for outcome in outcomes]),
                attributes={
                    **self._attributes("settle"),
                    "messaging.batch.message_count": len(outcomes),
                },
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    answers = await settle(outcomes)
                except BaseException as error:
                    self._fail(span, type(error).__name__)
                    raise
            for outcome in outcomes:
                self._ended.pop(outcome.claim.number, None)
            return answers

        return traced

    def _links(self, claims: Sequence[Claim]) -> list[Link]:
        found = (self._ended.get(claim.number) for claim in claims)
        return [self._trace.Link(each) for each in found if each is not None and each.is_valid]

    def forget(self) -> None:
        """Drop what is kept for attempts whose outcomes are not settled any more."""
        self._ended.clear()

    # In both.

    def _extracted(self, headers: Mapping[str, str]) -> Context:
        return self._propagator.extract(headers, context=self._context.Context())

    def _attributes(self, operation: str, job: str = "", message: str = "") -> dict[str, Any]:
        found = {
            "messaging.system": SYSTEM,
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "asyncendpoints.endpoint": self._endpoint,
        }
        if job:
            found |= {"messaging.destination.name": job, "messaging.message.id": message}
        return found

    def _fail(self, span: Span, kind: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.StatusCode.ERROR)


def _waited(claimed: ClaimedJob) -> float:
    job = claimed.job
    return (job.started_ms - max(job.created_ms, job.not_before_ms)) / 1000
