-- redrive: queue Failed or Canceled jobs again, with fresh budgets and a new time to live.
-- KEYS: meta jobs runs results ready:high ready:normal ready:low suspects delayed finished:failed
--   finished:canceled counts totals gone idle bell watch
-- META: tick safety seq bytes paused suspended closed max_depth max_bytes ttl_ms completed_ms failed_ms
-- LIB: batch time optional record counts events wake_up save
-- FLAGS: deny-oom
-- ARGV: 1 ids
-- RETURNS: context; 4 bytes for each: jobs ahead; for each a letter (q requeued, n not retryable,
--   f full, x closed, m missing, g gone, b cannot be read) and the job's state where there is one
local READY = {[0] = ready_high, ready_normal, ready_low}
local ids, out, aheads, known = record.split_ids(ARGV[1]), {}, {}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
local waiting = {[0] = call('ZCARD', READY[0]), call('ZCARD', READY[1]), call('ZCARD', READY[2])}
local depth = waiting[0] + waiting[1] + waiting[2] + call('ZCARD', suspects)
  + call('ZCARD', delayed)
local off_results = batch.new('HDEL', results)
local on_ready = {[0] = batch.new('ZADD', READY[0]), batch.new('ZADD', READY[1]), batch.new('ZADD', READY[2])}
local off_finished = {
  [FAILED] = batch.new('ZREM', finished_failed), [CANCELED] = batch.new('ZREM', finished_canceled),
}
local requeued, added = 0, 0

local function redrive(id, r)
  if r.state ~= FAILED and r.state ~= CANCELED or record.error_code(r) == 'corrupt' then
    return 'n'
  end
  if closed > 0 then return 'x' end
  local size = r.body_size
  if depth >= max_depth or bytes + added + size > max_bytes then return 'f' end
  batch.add(off_finished[r.state], id)
  bump(r.state, r.name, -1)
  bump(QUEUED, r.name, 1)
  seq = seq + 1
  r.state, r.seq, r.updated_at, r.revision = QUEUED, seq, now, r.revision + 1
  r.attempt, r.crashes, r.releases = 0, 0, 0
  r.started_at, r.completed_at, r.not_before, r.cancel_requested_at = 0, 0, 0, 0
  r.ttl_from, r.expires_at, r.progress, r.error, r.result = active, 0, '', '', ''
  batch.add(on_ready[r.priority], seq, id)
  batch.add(off_results, id)
  save(id, r)
  note(id, r.revision)
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
    out[i] = redrive(id, r) .. record.head(stored[i], record.encode_run(r))
    ahead = r.ahead or r.state == QUEUED
      and call('ZRANK', READY[r.priority], id) or 0
  elseif why then
    out[i] = why == 'newer' and 'n' or 'b'
  else
    out[i] = call('ZSCORE', tombstones, id) and 'g' or 'm'
  end
  aheads[i] = spack(layout.AHEAD.format, layout.AHEAD.fields)
end
if requeued > 0 then
  if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
  batch.flush(set_runs)
  batch.flush(off_results)
  for prio = 0, 2 do batch.flush(on_ready[prio]) end
  batch.flush(off_finished[FAILED])
  batch.flush(off_finished[CANCELED])
  call('HSET', meta, 'seq', string.format('%.0f', seq), 'bytes',
    string.format('%.0f', bytes + added))
  tally('redriven', requeued)
  flush_counts()
  wake(requeued)
  publish()
end
return {context(), table.concat(aheads), unpack(out)}
