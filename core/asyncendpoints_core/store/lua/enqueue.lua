-- enqueue: create jobs, each decided on its own: same id, idempotency key, closed, room, creation.
-- KEYS: meta jobs blobs ready:high ready:normal ready:low suspects delayed expiries idem idemexp
--   counts totals idle bell watch
-- META: tick seq bytes paused suspended closed max_depth max_bytes ttl_ms idempotency_ms
--   completed_ms failed_ms
-- LIB: batch time head ring counts events
-- FLAGS: deny-oom
-- ARGV: 1 items of 51 bytes: id, priority, max attempts, delay, expiry, lengths of name, trace,
--   tail, blob, idempotency key, fingerprint, body; 2 those parts one after the other
-- RETURNS: context; a letter for each: c created, e exists, r replayed, R replayed but its job is
--   gone, m mismatch, f full, x closed; 4 bytes for each: jobs ahead; then id and state of each e and r
local ITEM, FORMAT = 51, '>c16BHI8I8BBI4I4BBI4'
local spack, ssub = struct.pack, string.sub
local items, payload = ARGV[1], ARGV[2]
local n = #items / ITEM
local ids = {}
for i = 1, n do ids[i] = ssub(items, (i - 1) * ITEM + 1, (i - 1) * ITEM + 16) end
local stored = call('HMGET', jobs, unpack(ids))

local LINES = {[0] = ready_high, ready_normal, ready_low}
local waiting = {[0] = call('ZCARD', ready_high), call('ZCARD', ready_normal),
  call('ZCARD', ready_low)}
local depth = waiting[0] + waiting[1] + waiting[2] + call('ZCARD', suspects)
  + call('ZCARD', delayed)

local set_jobs, set_blobs = batch('HSET', jobs), batch('HSET', blobs)
local set_delayed, set_expiries = batch('ZADD', delayed), batch('ZADD', expiries)
local set_idem, set_idemexp = batch('HSET', idem), batch('ZADD', idemexp)
local set_ready = {[0] = batch('ZADD', ready_high), batch('ZADD', ready_normal),
  batch('ZADD', ready_low)}
local fresh, bound, places = {}, {}, {}
local statuses, aheads, heads = {}, {}, {}
local created, queued, added = 0, 0, 0

local function ahead_of(id, record)
  local bits = string.byte(record, 2) or 255
  if bits % 8 ~= 0 then return 0 end
  local line = LINES[floor(bits / 16) % 4]
  return places[id] or line and call('ZRANK', line, id) or 0
end

local function answer(i, status, id, record)
  statuses[i] = status
  local ahead = 0
  if record then
    ahead = ahead_of(id, record)
    heads[#heads + 1] = id .. head(record)
  end
  aheads[i] = spack('>I4', ahead)
end

local function create(i, id, prio, max, delay, expires, nl, tl, taill, blobl, body, at)
  local bits, notbefore = prio * 16, 0
  local record
  if delay == 0 and expires == 0 and blobl == 0 then
    seq = seq + 1
    record = spack('>BBI6I5HBB', 161, bits + (active < now and 128 or 0), now, seq, max, nl, tl)
    if active < now then record = record .. spack('>I6', active) end
  else
    local state, base, place, ends = 0, active, 0, 0
    if delay > 0 then
      state, notbefore, base = 1, now + delay, active + delay
    else
      seq = seq + 1
      place = seq
    end
    if expires > 0 then
      ends = active + expires
      add(set_expiries, ends, id)
    end
    record = spack('>BBI6I5HBBI6BI6I6I6BBHI6I6I4I7I4I6I6BHHH', 161,
      state + 8 + bits + (blobl > 0 and 128 or 0), now, place, max, nl, tl, base, 0, ends, notbefore,
      0, 0, 0, 0, 0, 0, body, 0, 1, now, 0, 0, 0, 0, 0)
  end
  local name = ssub(payload, at, at + nl - 1)
  record = record .. ssub(payload, at, at + nl + tl + taill - 1)
  fresh[id] = record
  add(set_jobs, id, record)
  if blobl > 0 then add(set_blobs, id, ssub(payload, at + nl + tl + taill,
    at + nl + tl + taill + blobl - 1)) end
  local ahead = 0
  if delay > 0 then
    add(set_delayed, notbefore, id)
    bump(1, name, 1)
  else
    add(set_ready[prio], seq, id)
    ahead = waiting[prio]
    places[id], waiting[prio] = ahead, ahead + 1
    queued = queued + 1
    bump(0, name, 1)
  end
  statuses[i], aheads[i] = 'c', spack('>I4', ahead)
  depth, added, created = depth + 1, added + body, created + 1
  note(id, 1)
end

local at = 1
for i = 1, n do
  local id, prio, max, delay, expires, nl, tl, taill, blobl, keyl, fpl, body =
    struct.unpack(FORMAT, items, (i - 1) * ITEM + 1)
  local tied = at + nl + tl + taill + blobl
  local record = stored[i] or fresh[id]
  local key, fingerprint
  local decided = false
  if not record and keyl > 0 then
    key = ssub(payload, tied, tied + keyl - 1)
    fingerprint = ssub(payload, tied + keyl, tied + keyl + fpl - 1)
    local value = bound[key] or call('HGET', idem, key)
    if value then
      local owner = ssub(value, 1, 16)
      local earlier = fresh[owner] or call('HGET', jobs, owner)
      decided = earlier or struct.unpack('>I8', value, 17) > now
      if decided and ssub(value, 25) ~= fingerprint then
        answer(i, 'm')
      elseif decided and earlier then
        answer(i, 'r', owner, earlier)
      elseif decided then
        answer(i, 'R')
      end
    end
  end
  if record then
    answer(i, 'e', id, record)
    decided = true
  end
  if decided then
    at = tied + keyl + fpl
  elseif closed > 0 then
    answer(i, 'x')
  elseif depth >= max_depth or bytes + added + body > max_bytes then
    answer(i, 'f')
  else
    create(i, id, prio, max, delay, expires, nl, tl, taill, blobl, body, at)
    if key then
      bound[key] = id .. spack('>I8', now + idempotency_ms) .. fingerprint
      add(set_idem, key, bound[key])
      add(set_idemexp, now + idempotency_ms, key)
    end
  end
  at = tied + keyl + fpl
end

if created > 0 then
  flush(set_jobs)
  flush(set_blobs)
  for prio = 0, 2 do flush(set_ready[prio]) end
  flush(set_delayed)
  flush(set_expiries)
  flush(set_idem)
  flush(set_idemexp)
  call('HSET', meta, 'seq', string.format('%.0f', seq), 'bytes',
    string.format('%.0f', bytes + added))
  tally('created', created)
  flush_counts()
  ring(queued)
  publish()
end
return {context(), table.concat(statuses), table.concat(aheads), unpack(heads)}
