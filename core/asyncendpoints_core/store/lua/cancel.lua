-- cancel: cancel waiting jobs, request the cancel of running ones.
-- KEYS: meta jobs runs ready:high ready:normal ready:low suspects delayed expiries finished:completed
--   finished:failed finished:canceled cancels counts totals gone watch
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: batch time ready record counters events finish save
-- ARGV: 1 ids
-- RETURNS: context; for each a letter (c canceled, r requested, f final, m missing, g gone,
--   b cannot be read) followed by the job's state where there is one
local ids, out, known = record.split_ids(ARGV[1]), {time.context()}, {}
local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
local set_cancels = batch.new('HSET', cancels)
local off_ready = batch.each('ZREM', ready)
local off_suspects, off_delayed = batch.new('ZREM', suspects), batch.new('ZREM', delayed)
local off_expiries = batch.new('ZREM', expiries)

local function cancel(id, r)
  if r.state > IN_PROGRESS then return 'f' end
  if r.state == IN_PROGRESS then
    if r.cancel_requested_at == 0 then
      r.cancel_requested_at, r.updated_at, r.revision = now, now, r.revision + 1
      batch.add(set_cancels, id, r.worker)
      events.add(id, r.revision)
      save.run(id, r)
    end
    return 'r'
  end
  if r.state == SCHEDULED then
    batch.add(off_delayed, id)
  elseif r.suspect then
    batch.add(off_suspects, id)
  else
    batch.add(off_ready[r.priority], id)
  end
  if r.expires_at > 0 or r.claim > 0 then batch.add(off_expiries, id) end
  r.error = ''
  finish.job(id, r, CANCELED)
  save.run(id, r)
  return 'c'
end

for i, id in ipairs(ids) do
  local r, why = known[id], nil
  if not r and stored[i] then r, why = record.decode(stored[i], ran[i]) end
  if r then
    known[id] = r
    out[i + 1] = cancel(id, r) .. record.head(stored[i], record.encode_run(r))
  elseif why then
    out[i + 1] = why == 'newer' and 'm' or 'b'
  else
    out[i + 1] = call('ZSCORE', tombstones, id) and 'g' or 'm'
  end
end
save.flush()
batch.flush(set_cancels)
batch.flush_each(off_ready)
batch.flush(off_suspects)
batch.flush(off_delayed)
batch.flush(off_expiries)
finish.flush()
counters.flush()
events.publish()
return out
