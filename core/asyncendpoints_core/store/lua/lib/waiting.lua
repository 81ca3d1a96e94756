-- Jobs that wait: their time to live, and the move from Scheduled to Queued.
local READY = {[0] = ready_high, ready_normal, ready_low}
local LOOK_AHEAD = 100
local off_expiries, off_runs = batch.new('ZREM', expiries), batch.new('HDEL', runs)

local function end_of_wait(r)
  return r.expires_at > 0 and r.expires_at or r.ttl_from + ttl_ms
end

local function expired(r)
  return r.started_at == 0 and active >= end_of_wait(r)
end

local function expire(id, r)
  if record.error_code(r) ~= 'handler-missing' then
    r.error = error_text('expired', 'its time to live is over')
  end
  if r.expires_at > 0 or r.claim > 0 then batch.add(off_expiries, id) end
  tally('expired', 1)
  finish(id, r, FAILED)
  save(id, r)
end

-- Writes what was decided so far; what reads after it sees it.
local function flush_waiting()
  batch.flush(set_runs)
  batch.flush(off_runs)
  batch.flush(off_expiries)
  flush_corrupt()
  flush_finished()
  set_runs, off_runs = batch.new('HSET', runs), batch.new('HDEL', runs)
  off_expiries = batch.new('ZREM', expiries)
end

-- Moves up to LOOK_AHEAD due jobs to the tail of their lines. Returns how many became ready, and how
-- many were due.
local function promote()
  local due = call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, LOOK_AHEAD)
  if #due == 0 then return 0, 0 end
  local off = batch.new('ZREM', delayed)
  local on = {[0] = batch.new('ZADD', READY[0]), batch.new('ZADD', READY[1]), batch.new('ZADD', READY[2])}
  local on_suspects = batch.new('ZADD', suspects)
  local promoted = 0
  for i, run in ipairs(call('HMGET', runs, unpack(due))) do
    local id = due[i]
    local r, why
    if run then r, why = record.decode_run(run) end
    if not run then
      drop_missing(SCHEDULED)
    elseif why == 'corrupt' then
      keep_corrupt(id, run, SCHEDULED, call('HGET', jobs, id))
    elseif r and expired(r) then
      expire(id, r)
    elseif r then
      seq = seq + 1
      r.state, r.seq, r.updated_at, r.revision = QUEUED, seq, now, r.revision + 1
      if r.suspect then
        batch.add(on_suspects, now, id)
      else
        batch.add(on[r.priority], seq, id)
      end
      bump(SCHEDULED, r.name, -1)
      bump(QUEUED, r.name, 1)
      note(id, r.revision)
      save(id, r)
      promoted = promoted + 1
    end
    if why ~= 'newer' then batch.add(off, id) end
  end
  batch.flush(off)
  for prio = 0, 2 do batch.flush(on[prio]) end
  batch.flush(on_suspects)
  flush_waiting()
  call('HSET', meta, 'seq', string.format('%.0f', seq))
  return promoted, #due
end
