-- redrive: queue Failed or Canceled jobs again, with fresh budgets and a new time to live.
-- KEYS: meta jobs runs results ready:high ready:normal ready:low suspects delayed finished:failed
--   finished:canceled counts totals gone idle bell watch
-- META: tick safety seq bytes paused suspended closed max_depth max_bytes ttl_ms completed_ms failed_ms
-- LIB: time record counters events wake_up redriving position
-- FEATURES: locks schedules fired outbox outbox:receivers GATE
-- FEATURELIB: pauses
-- FEATUREMETA: gated webhook_states
-- FLAGS: deny-oom
-- ARGV: 1 ids, 2 revisions (lib/other_revision)
-- RETURNS: context; POSITION for each; for each a letter (q requeued, n not retryable,
--   f full, x closed, u an equal job has its lock, p another revision, m missing, g gone, b cannot be read, v of a
--   newer version) and the job's state where there is one
local ids, out, positions, known = record.split_ids(ARGV[1]), {}, {}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
if gate and safety > 0 then return redis.error_reply('AEPTIMER at rest') end

for i, id in ipairs(ids) do
  local r, why = known[id], nil
  local ahead, before, rate_ms = 0, 0, 0
  if not r and stored[i] then r, why = record.decode(stored[i], ran[i]) end
  if r then
    known[id] = r
    out[i] = redriving.job(id, r, stored[i], 1, ARGV[2]) .. record.head(stored[i], record.encode_run(r))
    if r.ahead then
      ahead, before, rate_ms = r.ahead, r.before, r.rate_ms
    elseif r.state == QUEUED and not r.suspect then
      ahead, before, rate_ms = position.of(id, r.priority)
    end
  elseif why then
    out[i] = why == 'newer' and 'v' or 'b'
  else
    out[i] = call('ZSCORE', tombstones, id) and 'g' or 'm'
  end
  positions[i] = spack(layout.POSITION.format, layout.POSITION.fields)
end
if redriving.requeued > 0 then
  if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
  redriving.flush()
  counters.flush()
  wake_up(redriving.startable)
  events.publish()
end
return {time.context(pauses), table.concat(positions), unpack(out)}
