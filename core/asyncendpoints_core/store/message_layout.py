"""The byte layout of what scripts take and return; nothing of it is stored (record_layout.py)."""

from __future__ import annotations

from typing import Final

from asyncendpoints_core.store.layout_fields import Bits, Field, Group, Layout, Part
from asyncendpoints_core.store.record_layout import ID

FAN_OUT: Final = Layout(fields=(ID, Field("revision", 4), Field("count", 1)))
DELIVERY_OUTCOME: Final = Layout(
    fields=(
        Field("delivery", 16, "bytes"),
        Field("token", 4),
        Field("kind", 1),
        Field("delay_ms", 8),
        Field("status", 2),
    ),
)
FIRING: Final = Layout(
    fields=(
        Field("hash", 8, "bytes"),
        Field("due_ms", 6),
        Field("next_ms", 6),
        Field("seen_ms", 6),
        Field("missed", 4),
        Field("deadline_ms", 6),
        Field("concurrency", 1),
    ),
    tail="schedule",
)
NEW_JOB: Final = Layout(
    fields=(
        ID,
        Field("priority", 1),
        Field("on_conflict", 1),  # of a unique job, else 0
        Field("max_attempts", 2),
        Field("delay_ms", 8),
        Field("ttl_ms", 8),
        Field("name_size", 1),
        Field("trace_size", 1),
        Field("attributes_size", 2),
        Field("content_size", 4),
        Field("blob_size", 4),
        Field("key_size", 1),
        Field("fingerprint_size", 1),
        Field("body_size", 4),
    ),
    parts=(
        # The job's own parts and its request, as they stand in it.
        Part("content", "content_size"),
        # A body that is kept apart.
        Part("blob", "blob_size"),
        Part("key", "key_size"),
        Part("fingerprint", "fingerprint_size"),
    ),
)
OUTCOME: Final = Layout(
    fields=(
        ID,
        Field("claim", 8),
        Field("worker_index", 2),
        Field("kind", 1),
        Field("flags", 1),
        Field("delay_ms", 8),
        Field("code_size", 1),
        Field("message_size", 2),
        Field("result_size", 4),
    ),
    groups=(
        Group(
            "after_id",
            "claim worker_index kind flags delay_ms code_size message_size result_size",
        ),
    ),
    bits=(
        Bits("started", 0),
        Bits("final", 1),
        Bits("retryable", 2),
        Bits("has_error", 3),
    ),
    parts=(
        Part("code", "code_size"),
        Part("message", "message_size"),
        Part("result", "result_size"),
    ),
)
UPDATE: Final = Layout(
    fields=(ID, Field("claim", 8), Field("worker_index", 2), Field("progress_size", 2)),
    parts=(Part("progress", "progress_size"),),
)
LOG_WRITE: Final = Layout(
    fields=(
        ID,
        Field("claim", 8),
        Field("worker_index", 2),
        Field("attempt", 2),
        Field("position", 6),
        Field("unless_completed", 1),
        Field("text_size", 4),
    ),
    parts=(Part("text", "text_size"),),
)
CLAIM: Final = Layout(fields=(ID, Field("claim", 8)))
CONTEXT: Final = Layout(
    fields=(
        Field("now", 8),
        Field("paused_ms", 8),
        Field("ttl_ms", 8),
        Field("completed_ms", 8),
        Field("failed_ms", 8),
    ),
)
POSITION: Final = Layout(fields=(Field("ahead", 4), Field("before", 4), Field("rate_ms", 4)))
WORKER: Final = Layout(
    fields=(
        Field("lease", 8),
        Field("held", 8),
        Field("cordoned_until", 8),
        Field("draining", 1),
    ),
    tail="info",
)
FOUND: Final = Layout(
    fields=(ID, Field("claim", 8), Field("attempt", 2), Field("max_attempts", 2)),
    tail="worker",
)
LEASE: Final = Layout(fields=(Field("gone", 1), Field("cordoned", 1), Field("held", 4)))
EVENT: Final = Layout(fields=(ID, Field("revision", 4)))
