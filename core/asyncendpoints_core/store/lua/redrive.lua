-- redrive: queue Failed or Canceled jobs again, with fresh budgets and a new time to live.
-- KEYS: meta jobs runs results ready:high ready:normal ready:low suspects delayed finished:failed
--   finished:canceled counts totals gone idle bell watch
-- META: tick safety seq bytes paused suspended closed max_depth max_bytes ttl_ms completed_ms failed_ms
-- LIB: batch time ready record counters events wake_up save
-- FEATURES: locks schedules fired
-- FEATURELIB: unique
-- FLAGS: deny-oom
-- ARGV: 1 ids
-- RETURNS: context; 4 bytes for each: jobs ahead; for each a letter (q requeued, n not retryable,
--   f full, x closed, u an equal job has its lock, m missing, g gone, b cannot be read) and the job's state where there is one
local ids, out, aheads, known = record.split_ids(ARGV[1]), {}, {}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
local waiting = ready.sizes()
local depth = waiting[0] + waiting[1] + waiting[2] + call('ZCARD', suspects)
  + call('ZCARD', delayed)
local off_results = batch.new('HDEL', results)
local on_ready = batch.each('ZADD', ready)
local off_finished = {
  [FAILED] = batch.new('ZREM', finished_failed), [CANCELED] = batch.new('ZREM', finished_canceled),
}
local requeued, added, known_runs = 0, 0, {}

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

local function redrive(id, r, job)
  if r.state ~= FAILED and r.state ~= CANCELED or record.error_code(r) == 'corrupt' then
    return 'n'
  end
  if closed > 0 then return 'x' end
  local carried, taken = lock_of(id, job)
  if taken then return 'u' end
  local size = r.body_size
  if depth >= max_depth or bytes + added + size > max_bytes then return 'f' end
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
  r.ahead = waiting[r.priority]
  waiting[r.priority] = r.ahead + 1
  depth, added, requeued = depth + 1, added + size, requeued + 1
  return 'q'
end

for i, id in ipairs(ids) do
  local r, why = known[id], nil
  local ahead = 0
  if not r and stored[i] then r, why = record.decode(stored[i], ran[i]) end
  if r then
    known[id] = r
    out[i] = redrive(id, r, stored[i]) .. record.head(stored[i], record.encode_run(r))
    ahead = r.ahead or r.state == QUEUED
      and call('ZRANK', ready[r.priority], id) or 0
  elseif why then
    out[i] = why == 'newer' and 'n' or 'b'
  else
    out[i] = call('ZSCORE', tombstones, id) and 'g' or 'm'
  end
  aheads[i] = spack(layout.AHEAD.format, layout.AHEAD.fields)
end
if requeued > 0 then
  if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
  save.flush()
  if unique then
    unique.flush()
    batch.flush(on_fired)
  end
  batch.flush(off_results)
  batch.flush_each(on_ready)
  batch.flush(off_finished[FAILED])
  batch.flush(off_finished[CANCELED])
  call('HSET', meta, 'seq', string.format('%.0f', seq), 'bytes',
    string.format('%.0f', bytes + added))
  counters.tally('redriven', requeued)
  counters.flush()
  wake_up(requeued)
  events.publish()
end
return {time.context(), table.concat(aheads), unpack(out)}
