"""Deliberate one-line faults of the product, each of which the tests must catch."""

from dataclasses import dataclass

LUA = "core/asyncendpoints_core/store/lua"
REDIS = "core/asyncendpoints_core/store/redis"
MEMORY = "core/asyncendpoints_core/store/memory"
WORKER = "worker/asyncendpoints_worker/engine"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` becomes `new` in `file`; one of `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "settle: a stale claim's outcome takes effect",
        f"{LUA}/settle.lua",
        "elseif r.claim ~= claim or r.worker ~= worker then",
        "elseif r.worker ~= worker then",
        ("tests/store/test_settle.py",),
    ),
    Mutant(
        "settle: another worker's claim can be used",
        f"{LUA}/settle.lua",
        "elseif r.claim ~= claim or r.worker ~= worker then",
        "elseif r.claim ~= claim then",
        ("tests/store/test_settle.py",),
    ),
    Mutant(
        "settle, common case: a stale claim's completion takes effect",
        f"{LUA}/settle.lua",
        "quick = claim == claimed and name_size == common.name_size",
        "quick = name_size == common.name_size",
        ("tests/store/test_settle.py",),
    ),
    Mutant(
        "settle: an outcome sent again takes effect again",
        f"{LUA}/settle.lua",
        "elseif r.state ~= IN_PROGRESS then",
        "elseif r.state < IN_PROGRESS then",
        ("tests/store/test_settle.py",),
    ),
    Mutant(
        "progress: a stale claim reports progress",
        f"{LUA}/progress.lua",
        "elseif not r or r.claim ~= claim or r.worker ~= ARGV[3 + worker_index] then",
        "elseif not r then",
        ("tests/store/test_settle.py", "tests/store/test_state_machine.py"),
    ),
    Mutant(
        "claim: a worker without a lease is given jobs",
        f"{LUA}/claim.lua",
        "if lease <= now then return {time.context(), 'gone'} end",
        "if lease < 0 then return {time.context(), 'gone'} end",
        ("tests/store/test_claim.py",),
    ),
    Mutant(
        "claim: a claim asked again is given other jobs",
        f"{LUA}/claim.lua",
        "if asked == request then",
        "if asked < 0 then",
        ("tests/store/test_claim.py",),
    ),
    Mutant(
        "claim: numbers depend on the clock alone",
        f"{LUA}/claim.lua",
        "first = math.max(fence + 1, us)",
        "first = us",
        ("tests/store/test_claim.py", "tests/store/test_time.py"),
    ),
    Mutant(
        "claim: what many claim numbers have in common is kept too long",
        f"{LUA}/claim.lua",
        "if number - claim_end ~= last_block then",
        "if not last_block or claim_end == 0 then",
        ("tests/store/test_claim.py",),
    ),
    Mutant(
        "enqueue: the same submission twice makes two jobs",
        f"{LUA}/enqueue.lua",
        "local stored_job = stored[i] or fresh[id]",
        "local stored_job = fresh[id]",
        ("tests/store/test_enqueue.py",),
    ),
    Mutant(
        "enqueue: an idempotency key is bound to nothing",
        f"{LUA}/enqueue.lua",
        "  collect('HSET', idempotency, key, bound[key])",
        "",
        ("tests/store/test_enqueue.py",),
    ),
    Mutant(
        "unique: a lock counts when its job has ended",
        f"{LUA}/lib/unique.lua",
        "  if not r or r.state > IN_PROGRESS then return nil end",
        "  if not r then return nil end",
        ("tests/store/test_unique.py",),
    ),
    Mutant(
        "unique: a submission sent again is decided again",
        f"{LUA}/enqueue.lua",
        "  lock.submission = id",
        "",
        ("tests/store/test_unique.py",),
    ),
    Mutant(
        "enqueue: the limit on waiting jobs is off by one",
        f"{LUA}/enqueue.lua",
        "elseif depth >= max_depth or",
        "elseif depth > max_depth or",
        ("tests/store/test_enqueue.py",),
    ),
    Mutant(
        "cancel: the worker of a running job is not notified",
        f"{LUA}/lib/canceling.lua",
        "    batch.add(set_cancels, id, r.worker)",
        "",
        ("tests/store/test_cancel.py",),
    ),
    Mutant(
        "cancel: a final job is canceled",
        f"{LUA}/lib/canceling.lua",
        "if r.state > IN_PROGRESS then return 'f' end",
        "if r.state > COMPLETED then return 'f' end",
        ("tests/store/test_cancel.py",),
    ),
    Mutant(
        "settle with children: a stale claim creates jobs",
        f"{LUA}/settle_with_children.lua",
        "elseif r.claim ~= claim or r.worker ~= ARGV[6 + worker_index] then",
        "elseif r.worker ~= ARGV[6 + worker_index] then",
        ("tests/store/test_children.py",),
    ),
    Mutant(
        "settle with children: an outcome sent again creates them again",
        f"{LUA}/settle_with_children.lua",
        "elseif r.state ~= IN_PROGRESS then",
        "elseif r.state < IN_PROGRESS then",
        ("tests/store/test_children.py",),
    ),
    Mutant(
        "settle with children: nothing bounds a chain of jobs",
        f"{LUA}/settle_with_children.lua",
        "if depth + count > 2 * max_depth then",
        "if depth > 2 * max_depth + 500 then",
        ("tests/store/test_children.py",),
    ),
    Mutant(
        "settle with children: part is written while memory is full",
        f"{LUA}/settle_with_children.lua",
        "-- The first write has to be one that full memory refuses: then nothing is written.",
        "call('HDEL', meta, '')",
        ("tests/store/test_redis_faults.py",),
    ),
    Mutant(
        "memory: children are not counted against maxBytes",
        f"{MEMORY}/settling.py",
        "    if data.bytes - record.size + size > most_bytes:",
        "    if data.bytes - record.size > most_bytes:",
        ("tests/store/test_children.py",),
    ),
    Mutant(
        "worker: an attempt that is retried keeps what it enqueued",
        f"{WORKER}/attempts.py",
        "        if (enqueued := attempt.end()) and outcome.kind is COMPLETE:",
        "        if enqueued := attempt.end():",
        ("tests/unit/worker/engine/test_enqueueing.py",),
    ),
    Mutant(
        "fire: a time is decided twice",
        f"{LUA}/fire.lua",
        "  r.last_ms = firing.due_ms",
        "",
        ("tests/store/test_schedules.py",),
    ),
    Mutant(
        "fire: a definition that is not in force creates jobs",
        f"{LUA}/fire.lua",
        " or r.hash ~= firing.hash",
        "",
        ("tests/store/test_schedules.py",),
    ),
    Mutant(
        "recover: an outage of Redis ends every lease",
        f"{LUA}/recover.lua",
        "local away = ticked > 0 and now - ticked > OUTAGE_MS",
        "local away = false",
        ("tests/store/test_workers.py", "tests/store/test_time.py"),
    ),
    Mutant(
        "release_worker: every neighbor of a crash is charged",
        f"{LUA}/release_worker.lua",
        "if started == 1 and not more and here == 1 then",
        "if started >= 1 then",
        ("tests/store/test_crashes.py",),
    ),
    Mutant(
        "take back: an attempt that was taken back stays spent",
        f"{LUA}/lib/returns.lua",
        "  r.attempt = math.max(0, r.attempt - 1)",
        "",
        ("tests/store/test_settle.py", "tests/store/test_workers.py"),
    ),
    Mutant(
        "memory: a stale claim's outcome takes effect",
        f"{MEMORY}/settling.py",
        "if (record.claim, record.worker) != (claim.number, claim.worker):",
        "if record.worker != claim.worker:",
        ("tests/store/test_settle.py",),
    ),
    Mutant(
        "worker: a claim without a reply is not repeated under its number",
        f"{WORKER}/claims.py",
        "self._request, self._unanswered = self._request + 1, True",
        "self._request, self._unanswered = self._request + 1, False",
        ("tests/unit/worker/engine/test_claims.py", "tests/system/worker/test_lost_replies.py"),
    ),
    Mutant(
        "worker: an outcome is dropped if the store is not available",
        f"{WORKER}/settler.py",
        "if isinstance(error, RecordError) or not isinstance(error, StoreError):",
        "if True:",
        ("tests/unit/worker/engine/test_settler.py",),
    ),
    Mutant(
        "worker: a lost lease does not stop the attempts",
        f"{WORKER}/heartbeat.py",
        "            holder.lease_lost()",
        "            pass",
        ("tests/unit/worker/engine/test_heartbeat.py",),
    ),
    Mutant(
        "client of Redis: BUSY is taken for a fault of the record",
        f"{REDIS}/error_replies.py",
        '"BUSY": _WAIT,',
        '"BUSY": Meaning(RecordError, "busy"),',
        ("tests/store/test_redis_error_replies.py",),
    ),
    Mutant(
        "client of Redis: a closed transport ends the call",
        f"{REDIS}/connection.py",
        "except RuntimeError as error:",
        "except OSError as error:",
        ("tests/store/test_redis_closed_transport.py",),
    ),
    Mutant(
        "strict: a write that no replica confirmed is accepted",
        f"{REDIS}/confirmation.py",
        "if not (isinstance(replica, int) and replica):",
        "if not isinstance(replica, int):",
        ("tests/store/test_redis_durability.py",),
    ),
    Mutant(
        "strict: a replica that joins later is not waited for",
        f"{REDIS}/confirmation.py",
        r'if isinstance(replica, bytes) and b"connected_slaves:0\r" in replica:',
        "if isinstance(replica, bytes):",
        ("tests/store/test_redis_durability.py",),
    ),
    Mutant(
        "strict: what another connection wrote is taken for confirmed",
        f"{REDIS}/confirmation.py",
        '("HSET", meta, "confirmed", "1")',
        '("HLEN", meta)',
        ("tests/store/test_redis_durability.py",),
    ),
)
