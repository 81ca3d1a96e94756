"""The byte layout of what the Redis store keeps: every field, declared once.

Python's readers and packers (redis/python_layout.py) are made from these tables, Lua gets their
numbers and formats as constants (redis/lua_layout.py), so that a field moves everywhere when it
moves here. docs/adr/0001-record-layout.md says why the records are as they are,
docs/adr/0009-layout-table.md how to add a field.
"""

from __future__ import annotations

from typing import Final

from asyncendpoints_core.store.layout_fields import Bits, Field, Group, Layout, Optional, Part

# The first byte of a record: 10 in its high half, the version of the format in its low half.
# A job with ATTRIBUTES has the second version; all other records still have the first, so that
# programs that know no other go on reading them.
FORMAT_KIND: Final = 160
PLAIN_VERSION: Final = 1
FORMAT_VERSION: Final = 2

ID: Final = Field("id", 16, "bytes")

IDS: Final = Layout(fields=(ID,))

# Copied in one slice to a job's run when it is claimed for the first time.
_MADE: Final = "created_at seq max_attempts name_size"

# What of a job never changes: the hash `jobs`.
JOB: Final = Layout(
    fields=(
        Field("format", 1),
        Field("flags", 1),
        Field("created_at", 6),
        Field("seq", 5),
        Field("max_attempts", 2),
        Field("name_size", 1),
        Field("trace_size", 1),
    ),
    groups=(
        Group("head", "format flags"),
        Group("made", _MADE),
        Group("after_head", f"{_MADE} trace_size"),
    ),
    bits=(
        Bits("has_attributes", 0),
        Bits("priority", 4, 2, most=2),
        Bits("body_apart", 6),
        Bits("has_ttl_from", 7),
    ),
    optional=(
        # Where the time to live begins, in running time: only after a pause, else when created.
        Optional(Field("ttl_from", 6), "has_ttl_from"),
        # The size of a body that is kept apart, in `blobs`.
        Optional(Field("body_size", 4), "body_apart"),
        Optional(Field("attributes_size", 2), "has_attributes"),
    ),
    parts=(
        Part("name", "name_size"),
        Part("trace", "trace_size"),
        Part("attributes", "attributes_size"),
    ),
    tail="request",
)

# What few jobs carry (jobs/records.py Attributes), in a job after its trace.
ATTRIBUTES: Final = Layout(
    fields=(Field("flags", 2),),
    bits=(
        Bits("has_tags", 0),
        Bits("has_key", 1),
        Bits("has_parent", 2),
        Bits("has_schedule", 3),
        Bits("has_webhooks", 4),
        Bits("has_lock", 5),
        Bits("has_subject", 6),
        # Of the lock: it ends when the job is claimed for the first time.
        Bits("until_started", 7),
    ),
    optional=(
        Optional(Field("tags_size", 2), "has_tags"),
        Optional(Field("key_size", 1), "has_key"),
        Optional(Field("parent", 16, "bytes"), "has_parent"),
        Optional(Field("schedule_size", 1), "has_schedule"),
        Optional(Field("scheduled_at", 6), "has_schedule"),
        Optional(Field("webhooks_size", 2), "has_webhooks"),
        Optional(Field("lock", 16, "bytes"), "has_lock"),
        Optional(Field("lock_ms", 6), "has_lock"),
        Optional(Field("subject_size", 1), "has_subject"),
    ),
    parts=(
        Part("tags", "tags_size"),  # separated by commas
        Part("key", "key_size"),
        Part("schedule", "schedule_size"),
        Part("webhooks", "webhooks_size"),  # URLs, separated by line feeds
        Part("subject", "subject_size"),
    ),
)

# What of a job changes, from its first claim (or a delay, or an expiry of its own) on: `runs`.
RUN: Final = Layout(
    fields=(
        Field("format", 1),
        Field("flags", 1),
        Field("created_at", 6),
        Field("seq", 5),
        Field("max_attempts", 2),
        Field("name_size", 1),
        Field("ttl_from", 6),  # 0: when created
        Field("expires_at", 6),  # an expiry of its own, in running time
        Field("not_before", 6),
        Field("deadline", 6),
        Field("crashes", 1),
        Field("releases", 1),
        Field("attempt", 2),
        Field("started_at", 6),
        Field("cancel_requested_at", 6),
        Field("body_size", 4),
        Field("claim", 7),
        Field("revision", 4),
        Field("updated_at", 6),
        Field("completed_at", 6),
        Field("history_count", 1),
        Field("error_size", 2),
        Field("progress_size", 2),
        Field("history_size", 2),
        Field("worker_size", 1),
    ),
    groups=(
        Group("head", "format flags"),
        Group("made", _MADE),
        # The same in all runs of one claim that are the first of their jobs.
        Group(
            "start",
            "expires_at not_before deadline crashes releases attempt started_at"
            " cancel_requested_at",
        ),
        # What a settlement reads, keeps and rewrites in the common case.
        Group("claimed", "body_size claim"),
        Group(
            "settled",
            "attempt started_at cancel_requested_at body_size claim revision updated_at"
            " completed_at history_count error_size progress_size history_size worker_size",
        ),
        Group(
            "kept",
            "created_at seq max_attempts name_size ttl_from expires_at not_before deadline crashes"
            " releases attempt started_at cancel_requested_at body_size claim",
        ),
        Group(
            "outcome",
            "revision updated_at completed_at history_count error_size progress_size history_size"
            " worker_size",
        ),
    ),
    bits=(
        Bits("state", 0, 3, most=5),
        Bits("priority", 4, 2, most=2),
        Bits("suspect", 6),
        Bits("body_apart", 7),
    ),
    parts=(
        Part("worker", "worker_size"),
        Part("error", "error_size"),
        Part("progress", "progress_size"),
        Part("history", "history_size"),
        Part("name", "name_size"),
    ),
    tail="result",
)

# The start of a request: the size of its MessagePack, in one byte or in three after LONG_MARK.
LONG_MARK: Final = 255
REQUEST: Final = Layout(fields=(Field("size", 1),))
LONG_REQUEST: Final = Layout(fields=(Field("mark", 1), Field("size", 3)))

# An ended run in a job's history; `size` is the bytes after itself.
ATTEMPT: Final = Layout(
    fields=(
        Field("size", 2),
        Field("number", 2),
        Field("started_at", 6),
        Field("ended_at", 6),
        Field("outcome", 1),
        Field("error_size", 2),
    ),
    parts=(Part("error", "error_size"),),
)

# Why a job or an attempt failed.
ERROR: Final = Layout(
    fields=(Field("retryable", 1), Field("code_size", 1)),
    parts=(Part("code", "code_size"),),
    tail="message",
)

# How far a running job is; Lua never looks into it.
PROGRESS: Final = Layout(fields=(Field("fraction", 8, "float"),), tail="message")

# A result whose content type is no known word, or that has a filename.
RESULT: Final = Layout(
    fields=(Field("form", 1), Field("content_type_size", 2), Field("filename_size", 2)),
    parts=(Part("content_type", "content_type_size"), Part("filename", "filename_size")),
    tail="body",
)

# The end of a member of `held`, after the worker and a NUL.
HELD: Final = Layout(fields=(Field("claim", 7), ID))

# The end of an entry of `gate:flows`, after its flow.
FLOW_END: Final = Layout(fields=(Field("seq", 6),))

# A worker's last claim in `lastclaim`, before the ids it handed out.
LAST_CLAIM: Final = Layout(fields=(Field("request", 8), Field("first", 8)), tail="ids")

# What an idempotency key is bound to, in `idem`.
BINDING: Final = Layout(fields=(ID, Field("kept_until", 8)), tail="fingerprint")

# A lock of a unique job, in `locks`: who holds it, the last submission that was decided by it, and
# the job's claim number when it began.
LOCK: Final = Layout(
    fields=(
        ID,
        Field("submission", 16, "bytes"),
        Field("ends_at", 6),
        Field("claim", 7),
        Field("until_started", 1),
    ),
)

# The log of one claim, in `logs`: a job's value has one after the other, the oldest first.
# `written`: the bytes that it has had; `cut`: it lost its beginning.
LOG: Final = Layout(
    fields=(
        Field("claim", 7),
        Field("attempt", 2),
        Field("cut", 1),
        Field("written", 6),
        Field("size", 4),
    ),
    parts=(Part("text", "size"),),
)

# A schedule, in `schedules`.
SCHEDULE: Final = Layout(
    fields=(
        Field("hash", 8, "bytes"),
        Field("last_ms", 6),
        Field("fired_ms", 6),
        Field("removed_ms", 6),  # 0 while the policy has it
        Field("missed", 4),
        Field("missed_ms", 6),
        Field("skipped", 4),
        Field("skipped_ms", 6),
    ),
)

# A member of `outbox`: the end of a job.
JOB_END: Final = Layout(fields=(ID, Field("revision", 4)))

# A value of `deliveries`. `token` grows with each lease; `status` is the last answer's.
DELIVERY: Final = Layout(
    fields=(
        Field("receiver", 8, "bytes"),
        ID,
        Field("revision", 4),
        Field("created_at", 6),
        Field("due_at", 6),
        Field("tries", 1),
        Field("token", 4),
        Field("status", 2),
        Field("webhook_size", 1),
        Field("url_size", 2),
    ),
    groups=(Group("end", "id revision"),),
    parts=(Part("webhook", "webhook_size"), Part("url", "url_size")),
    tail="job",
)

# A member of `deliveries:due`.
DUE: Final = Layout(
    fields=(
        Field("receiver", 8, "bytes"),
        Field("due_at", 6),
        Field("delivery", 16, "bytes"),
    ),
)

# A value of `receivers:state`. `since`: when its failures in a row began; `probe_at`: the earliest
# time of its next probe, once they are many.
RECEIVER: Final = Layout(
    fields=(
        Field("failures", 2),
        Field("gone", 1),
        Field("status", 2),
        Field("since", 6),
        Field("probe_at", 6),
    ),
    tail="webhook",
)

# An entry of `figures:10` and `figures:600`; figures.py has its numbers.
FIGURES: Final = Layout(fields=(Field("slot", 4), Field("numbers", 28, "bytes")))
