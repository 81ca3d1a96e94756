-- cancel: end waiting jobs, ask running ones to stop.
-- KEYS: meta jobs runs ready:high ready:normal ready:low suspects delayed expiries finished:completed
--   finished:failed finished:canceled cancels counts totals gone watch
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: batch time record head counts events finish save
-- ARGV: 1 ids
-- RETURNS: context; for each a letter (c canceled, r requested, f final, m missing, g gone,
--   b cannot be read) followed by the job's state where there is one
local LINES = {[0] = ready_high, ready_normal, ready_low}
local ids, out, known = split_ids(ARGV[1]), {context()}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
local set_cancels = batch('HSET', cancels)
local off_ready = {[0] = batch('ZREM', LINES[0]), batch('ZREM', LINES[1]), batch('ZREM', LINES[2])}
local off_suspects, off_delayed = batch('ZREM', suspects), batch('ZREM', delayed)
local off_expiries = batch('ZREM', expiries)

local function cancel(id, r)
  if r.state > RUNNING then return 'f' end
  if r.state == RUNNING then
    if r.cancel_requested_at == 0 then
      r.cancel_requested_at, r.updated_at, r.revision = now, now, r.revision + 1
      add(set_cancels, id, r.worker)
      note(id, r.revision)
      save(id, r)
    end
    return 'r'
  end
  if r.state == SCHEDULED then
    add(off_delayed, id)
  elseif r.suspect then
    add(off_suspects, id)
  else
    add(off_ready[r.priority], id)
  end
  if r.expires_at > 0 or r.claim > 0 then add(off_expiries, id) end
  r.error = ''
  finish(id, r, CANCELED)
  save(id, r)
  return 'c'
end

for i, id in ipairs(ids) do
  local r, why = known[id], nil
  if not r and stored[i] then r, why = decode(stored[i], ran[i]) end
  if r then
    known[id] = r
    out[i + 1] = cancel(id, r) .. head(stored[i], encode_run(r))
  elseif why then
    out[i + 1] = why == 'newer' and 'm' or 'b'
  else
    out[i + 1] = call('ZSCORE', gone, id) and 'g' or 'm'
  end
end
flush(set_runs)
flush(set_cancels)
for prio = 0, 2 do flush(off_ready[prio]) end
flush(off_suspects)
flush(off_delayed)
flush(off_expiries)
flush_finished()
flush_counts()
publish()
return out
