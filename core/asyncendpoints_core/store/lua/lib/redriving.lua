-- Redrives: Failed and Canceled jobs are queued again, with fresh budgets and a new time to live.
-- LIB: batch time ready record counters events save lines position other_revision
-- FEATURELIB: unique event_receivers
-- How many were queued again, and how many of them no limit holds back, known after the flush.
local redriving = {requeued = 0, startable = 0}
local waiting = ready.sizes()
local depth = waiting[0] + waiting[1] + waiting[2] + call('ZCARD', suspects)
  + call('ZCARD', delayed) + lines.behind()
local off_results = batch.new('HDEL', results)
local on_ready = batch.each('ZADD', ready)
local off_finished = {
  [FAILED] = batch.new('ZREM', finished_failed), [CANCELED] = batch.new('ZREM', finished_canceled),
}
local added, known_runs = 0, {}

-- The lock that a unique job carries, nil without one; and whether another job has it.
local function lock_of(id, job)
  local carried = unique and record.attributes(job)
  if not carried or not carried.lock then return nil, false end
  local lock = unique.get(carried.lock)
  if not lock or lock.id == id then return carried, false end
  return carried, unique.holder(lock, call('HGET', jobs, lock.id), known_runs[lock.id]
    or call('HGET', runs, lock.id)) ~= nil
end

-- A job of a schedule is unfinished again.
local on_fired = unique and batch.new('ZADD', fired)
local function note_schedule(id, job)
  local carried = unique and record.attributes(job)
  if carried and carried.schedule ~= '' and call('HEXISTS', schedules, carried.schedule) == 1 then
    batch.add(on_fired, 0, carried.schedule .. '\0' .. id)
  end
end

function redriving.possible(r)
  return (r.state == FAILED or r.state == CANCELED) and record.error_code(r) ~= 'corrupt'
end

-- `share`: of the queue's limits; `named`: see lib/other_revision. Returns q requeued, n not retryable,
-- f full, x closed, u an equal job has its lock, p another revision.
function redriving.job(id, r, job, share, named)
  if not redriving.possible(r) then return 'n' end
  if closed > 0 then return 'x' end
  local carried, taken = lock_of(id, job)
  if taken then return 'u' end
  local size = r.body_size
  if depth >= max_depth * share or bytes + added + size > max_bytes * share then return 'f' end
  if other_revision(named, r) then return 'p' end
  if event_receivers then event_receivers.keep(id, r.revision, job) end
  batch.add(off_finished[r.state], id)
  counters.bump(r.state, r.name, -1)
  counters.bump(QUEUED, r.name, 1)
  seq = seq + 1
  r.state, r.seq, r.updated_at, r.revision = QUEUED, seq, now, r.revision + 1
  r.attempt, r.crashes, r.releases = 0, 0, 0
  r.started_at, r.completed_at, r.not_before, r.cancel_requested_at = 0, 0, 0, 0
  r.ttl_from, r.expires_at, r.progress, r.error, r.result = time.active, 0, '', '', ''
  batch.add(on_ready[r.priority], seq, id)
  batch.add(off_results, id)
  note_schedule(id, job)
  save.run(id, r)
  if carried then
    unique.take(carried, id, r.claim)
    known_runs[id] = record.encode_run(r)
  end
  events.add(id, r.revision)
  r.ahead, r.before, r.rate_ms = waiting[r.priority], 0, 0
  waiting[r.priority] = r.ahead + 1
  if gate then
    save.flush()
    redriving.startable = redriving.startable - lines.add(on_ready)
    r.ahead, r.before, r.rate_ms = position.of(id, r.priority)
  end
  depth, added, redriving.requeued = depth + 1, added + size, redriving.requeued + 1
  return 'q'
end

-- The caller has checked that the endpoint is not at rest.
function redriving.flush()
  if redriving.requeued == 0 then return end
  save.flush()
  if unique then
    unique.flush()
    batch.flush(on_fired)
  end
  batch.flush(off_results)
  redriving.startable = redriving.requeued + redriving.startable - lines.add(on_ready)
  batch.flush(off_finished[FAILED])
  batch.flush(off_finished[CANCELED])
  call('HSET', meta, 'seq', string.format('%.0f', seq), 'bytes',
    string.format('%.0f', bytes + added))
  counters.tally('redriven', redriving.requeued)
end

return redriving
