-- claim: promote what is due, then hand out ready jobs, 6 : 3 : 1 by priority.
-- KEYS: meta jobs blobs ready:high ready:normal ready:low suspects delayed running held expiries
--   workers marks lastclaim finished:completed finished:failed finished:canceled corrupt counts
--   totals idle bell watch
-- META: tick seq fence cursor paused suspended closed solo_until ttl_ms execution_ms lease_ms
--   completed_ms failed_ms
-- LIB: batch time record counts events ring finish corrupt waiting
-- ARGV: 1 worker, 2 request number, 3 limit, 4 bytes of bodies at most, 5 whether it was rung
-- RETURNS: context; a word: ok gone cordoned draining paused closed; flags more, drain, alone as
--   1 or 0; next due in ms or -1; ids; then each record, followed by its body if kept apart
local worker, request = ARGV[1], tonumber(ARGV[2])
local limit, max_bytes, rung = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local wl = #worker
local IDLE_MS = 2000
-- Smooth 6 : 3 : 1, so that no line waits longer than it must.
local SLOTS = {[0] = 0, 0, 1, 0, 0, 1, 0, 2, 0, 1}

local lease = tonumber(call('ZSCORE', workers, worker) or 0)
if lease <= now then return {context(), 'gone'} end
call('ZREM', idle, worker)

local out, out_ids = {}, {}
-- A suspect that may run already waits for a worker that is empty, not for a time.
local function next_due()
  local due = tonumber(call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2])
  local backing_off = tonumber(call('ZRANGEBYSCORE', suspects, '(' .. string.format('%.0f', now),
    '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
  if not due or backing_off and backing_off < due then due = backing_off end
  return due and math.max(0, due - now) or -1
end
local function reply(word, more, drain, alone)
  return {context(), word, (more and '1' or '0') .. (drain and '1' or '0') .. (alone and '1' or '0'),
    string.format('%.0f', next_due()), table.concat(out_ids), unpack(out)}
end
local function hand_out(id, record, apart)
  out_ids[#out_ids + 1] = id
  out[#out + 1] = record
  if apart then out[#out + 1] = call('HGET', blobs, id) or '' end
end

local last = call('HGET', lastclaim, worker)
if last then
  local number, first = sunpack('>I8I8', last)
  if request < number then return reply('ok') end
  if request == number then
    local alone = false
    for i = 17, #last, 16 do
      local id = ssub(last, i, i + 15)
      local record = call('HGET', jobs, id)
      local r = record and decode(record)
      if r and r.state == RUNNING and r.claim == first + (i - 17) / 16 and r.worker == worker then
        alone = alone or r.suspect
        hand_out(id, record, r.apart)
      end
    end
    return reply('ok', false, false, alone)
  end
end

-- A refusal passes on the ring that it cannot use.
local function refuse(word)
  if rung then ring(math.min(1, call('ZCARD', ready_high) + call('ZCARD', ready_normal)
    + call('ZCARD', ready_low) + call('ZCOUNT', suspects, '-inf', now))) end
  return reply(word)
end
if closed > 0 then return refuse('closed') end
if paused > 0 then return refuse('paused') end
local mark = call('HMGET', marks, 'd' .. worker, 'c' .. worker)
if mark[1] then return refuse('draining') end
if mark[2] then
  for _, ends in pairs(cmsgpack.unpack(mark[2])) do
    if ends > now then return refuse('cordoned') end
  end
end

promote()

fence = math.max(fence + 1, us)
local number, deadline = fence, now + execution_ms
local on_jobs, on_running, on_held = {'HSET', jobs}, {'ZADD', running}, {'ZADD', held}
local taken, total_bytes, waited = 0, 0, 0
local stopped = false
local claimed_names = {}
local mine = worker .. '\0'
-- Of a fresh job's record all but claim number and body's size is the same throughout the batch.
local BEFORE = spack('>BI6I6I6BBHI6I6', wl, 0, 0, deadline, 0, 0, 1, now, 0)
local AFTER = spack('>I4I6I6BHHH', 2, now, 0, 0, 0, 0, 0)
local PREFIXES, BASED = {}, {}
for prio = 0, 2 do
  local plain = string.char(KIND + VERSION, prio * 16)
  local based = string.char(KIND + VERSION, prio * 16 + 128)
  PREFIXES[plain] = string.char(KIND + VERSION, prio * 16 + 8 + RUNNING)
  PREFIXES[based], BASED[based] = PREFIXES[plain], true
end

-- Whether a batch that is not empty has room for a body.
local function room_for(size)
  total_bytes = total_bytes + size
  stopped = taken > 0 and total_bytes > max_bytes
  return not stopped
end

local function book(id, record, name)
  taken = taken + 1
  local at = taken * 2 + 2
  on_jobs[at - 1], on_jobs[at] = id, record
  on_running[at - 1], on_running[at] = string.format('%.0f', number), id
  on_held[at - 1], on_held[at] = '0', mine .. id
  claimed_names[name] = (claimed_names[name] or 0) + 1
  out_ids[taken], out[#out + 1] = id, record
  number = number + 1
end

-- Any job but a fresh one. Returns whether it left its line.
local function take_slowly(id, record)
  if not record then drop_missing(QUEUED) return true end
  local r, why = decode(record)
  if why == 'newer' then return false end
  if why then save(id, put_aside(id, record, QUEUED)) return true end
  if expired(r) then expire(id, r) return true end
  if not room_for(r.size) then return false end
  if r.started == 0 and (r.expires > 0 or r.claim > 0) then add(off_expiries, id) end
  waited = waited + now - r.updated
  r.state, r.attempt, r.claim, r.worker, r.rev = RUNNING, r.attempt + 1, number, worker, r.rev + 1
  r.updated, r.started, r.deadline, r.progress = now, now, deadline, ''
  note(id, r.rev)
  book(id, encode_state(r) .. r.tail, r.name)
  if r.apart then out[#out + 1] = call('HGET', blobs, id) or '' end
  return true
end

-- Hands one job out, or does with it what its record asks for. Returns whether it left its line.
local function take(id, record)
  local kind = record and ssub(record, 1, 2)
  local prefix = PREFIXES[kind]
  if not prefix or #record < SHORT_BYTES + 8 then return take_slowly(id, record) end
  local created, _, _, nl, tl = sunpack('>I6I5HBB', record, 3)
  local base, from, text = created, 3, SHORT_BYTES + 1
  if BASED[kind] then base, from, text = sunpack('>I6', record, text), text, text + 6 end
  local tail = text + nl + tl
  if #record < tail or active >= base + ttl_ms then return take_slowly(id, record) end
  local size = #record - tail + 1 - request_bytes(record, tail)
  if size < 0 then return take_slowly(id, record) end
  if not room_for(size) then return false end
  waited = waited + now - created
  if listening then note(id, 2) end
  book(id, prefix .. ssub(record, 3, SHORT_BYTES) .. ssub(record, from, from + 5) .. BEFORE
    .. spack('>I4I7', size, number) .. AFTER .. ssub(record, text, tail - 1) .. worker
    .. ssub(record, tail), ssub(record, text, text + nl - 1))
  return true
end

-- The first suspect that may run by now; those that cannot be read leave their line.
local drain, alone = false, false
local off_suspects = batch('ZREM', suspects)
local eligible = call('ZRANGEBYSCORE', suspects, '-inf', now, 'LIMIT', 0, LOOK_AHEAD)
local suspect, suspect_record
for _, id in ipairs(eligible) do
  local record = call('HGET', jobs, id)
  local _, why = decode(record or '')
  if not record then
    drop_missing(QUEUED)
    add(off_suspects, id)
  elseif why == 'corrupt' then
    save(id, put_aside(id, record, QUEUED))
    add(off_suspects, id)
  elseif not why then
    suspect, suspect_record = id, record
    break
  end
end
if suspect then
  local solo = call('HGET', meta, 'solo')
  if call('ZLEXCOUNT', held, '[' .. worker .. '\0', '(' .. worker .. '\1') == 0 then
    take(suspect, suspect_record)
    add(off_suspects, suspect)
    alone = true
    if solo == worker then call('HDEL', meta, 'solo', 'solo_until') end
  elseif solo_until <= now then
    call('HSET', meta, 'solo', worker, 'solo_until', string.format('%.0f', now + lease_ms))
    drain = true
  else
    drain = solo == worker
  end
end

local left = {[0] = call('ZCARD', ready_high), call('ZCARD', ready_normal), call('ZCARD', ready_low)}
local seen, gone = {[0] = 0, 0, 0}, {[0] = {}, {}, {}}
local examined = 0
while not (alone or drain or stopped) and taken < limit and examined < limit + LOOK_AHEAD do
  -- Which lines the next jobs come from, then one read of each line and one of their records.
  local order, quota = {}, {[0] = 0, 0, 0}
  local room = left[0] + left[1] + left[2]
  local slot = cursor
  for i = 1, math.min(limit - taken, room) do
    local line
    repeat
      line = SLOTS[slot]
      slot = (slot + 1) % 10
    until left[line] > quota[line]
    quota[line] = quota[line] + 1
    order[i] = line
  end
  if #order == 0 then break end
  local ids, start = {}, {}
  for line = 0, 2 do
    start[line] = #ids
    if quota[line] > 0 then
      local from = seen[line]
      for _, id in ipairs(call('ZRANGE', LINES[line], from, from + quota[line] - 1)) do
        ids[#ids + 1] = id
      end
    end
  end
  local records = call('HMGET', jobs, unpack(ids))
  for i = 1, #order do
    local line = order[i]
    start[line] = start[line] + 1
    local id = ids[start[line]]
    if taken >= limit then break end
    local moved = take(id, records[start[line]])
    if stopped then break end
    repeat cursor = (cursor + 1) % 10 until SLOTS[(cursor + 9) % 10] == line
    seen[line], left[line] = seen[line] + 1, left[line] - 1
    if moved then gone[line][#gone[line] + 1] = id end
    examined = examined + 1
  end
end

for line = 0, 2 do
  if #gone[line] > 0 then
    if #gone[line] == seen[line] then
      call('ZREMRANGEBYRANK', LINES[line], 0, seen[line] - 1)
    else
      call('ZREM', LINES[line], unpack(gone[line]))
    end
  end
end
flush(off_suspects)
flush(set_jobs)
if taken > 0 then
  call(unpack(on_jobs))
  call(unpack(on_running))
  call(unpack(on_held))
end
flush(off_expiries)
flush(set_aside)
flush_finished()
if taken > 0 then
  for name, n in pairs(claimed_names) do
    bump(QUEUED, name, -n)
    bump(RUNNING, name, n)
  end
  tally('claimed', taken)
  tally('wait_ms', waited)
  call('HSET', meta, 'fence', string.format('%.0f', number - 1), 'cursor', cursor)
  call('HSET', lastclaim, worker, spack('>I8I8', request, fence) .. table.concat(out_ids))
end
flush_counts()
publish()
local more = left[0] + left[1] + left[2] > 0
if more or suspect and not alone then
  ring(1)
else
  call('DEL', bell) -- nothing is ready, so no ring means anything any more
  -- From now on a ring is meant for it too, though its wait begins a moment later.
  if taken == 0 then call('ZADD', idle, now + IDLE_MS, worker) end
end
return reply('ok', more, drain, alone)
