-- Jobs that wait: their time to live, and the move from Scheduled to Queued.
local LINES = {[0] = ready_high, ready_normal, ready_low}
local LOOK_AHEAD = 100
local set_jobs = batch('HSET', jobs)
local off_expiries = batch('ZREM', expiries)

local function save(id, r)
  add(set_jobs, id, encode_state(r) .. r.tail)
end

local function end_of_wait(r)
  return r.expires > 0 and r.expires or r.base + ttl_ms
end

local function expired(r)
  return r.started == 0 and active >= end_of_wait(r)
end

local function expire(id, r)
  if string.sub(r.error, 3, 17) ~= 'handler-missing' then
    r.error = error_text('expired', 'its time to live is over')
  end
  if r.expires > 0 or r.claim > 0 then add(off_expiries, id) end
  tally('expired', 1)
  finish(id, r, FAILED)
  save(id, r)
end

-- Moves up to LOOK_AHEAD due jobs to the tail of their lines; returns how many became ready.
local function promote()
  local due = call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, LOOK_AHEAD)
  if #due == 0 then return 0, 0 end
  local off = batch('ZREM', delayed)
  local on = {[0] = batch('ZADD', LINES[0]), batch('ZADD', LINES[1]), batch('ZADD', LINES[2])}
  local on_suspects = batch('ZADD', suspects)
  local promoted = 0
  for i, record in ipairs(call('HMGET', jobs, unpack(due))) do
    local id = due[i]
    local r, why
    if record then r, why = decode(record) end
    if not record then
      drop_missing(SCHEDULED)
      add(off, id)
    elseif why == 'corrupt' then
      save(id, put_aside(id, record, SCHEDULED))
      add(off, id)
    elseif r and expired(r) then
      expire(id, r)
      add(off, id)
    elseif r then
      seq = seq + 1
      r.state, r.seq, r.updated, r.rev = QUEUED, seq, now, r.rev + 1
      if r.suspect then
        add(on_suspects, now, id)
      else
        add(on[r.prio], seq, id)
      end
      bump(SCHEDULED, r.name, -1)
      bump(QUEUED, r.name, 1)
      note(id, r.rev)
      save(id, r)
      add(off, id)
      promoted = promoted + 1
    end
  end
  flush(off)
  for prio = 0, 2 do flush(on[prio]) end
  flush(on_suspects)
  flush(set_jobs)
  set_jobs = batch('HSET', jobs)
  call('HSET', meta, 'seq', string.format('%.0f', seq))
  return promoted, #due
end
