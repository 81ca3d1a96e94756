-- enqueue: create jobs, each decided on its own: same id, idempotency key, closed, room, creation.
-- KEYS: meta jobs runs blobs ready:high ready:normal ready:low suspects delayed expiries idem idemexp
--   counts totals idle bell watch
-- META: tick safety seq bytes paused suspended closed max_depth max_bytes ttl_ms idempotency_ms
--   completed_ms failed_ms
-- LIB: batch time record head ring counts events
-- FLAGS: deny-oom
-- ARGV: 1 items of 51 bytes: id, priority, max attempts, delay, expiry, lengths of name, trace,
--   tail, blob, idempotency key, fingerprint, body; 2 those parts one after the other
-- RETURNS: context; a letter for each: c created, e exists, r replayed, R replayed but its job is
--   gone, m mismatch, f full, x closed; 4 bytes for each: jobs ahead; then id and state of each e and r
local ITEM, FORMAT = 51, '>c16BHI8I8BBI4I4BBI4'
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

local set_jobs, set_runs, set_blobs = batch('HSET', jobs), batch('HSET', runs), batch('HSET', blobs)
local set_delayed, set_expiries = batch('ZADD', delayed), batch('ZADD', expiries)
local set_idem, set_idemexp = batch('HSET', idem), batch('ZADD', idemexp)
local set_ready = {[0] = batch('ZADD', ready_high), batch('ZADD', ready_normal),
  batch('ZADD', ready_low)}
local fresh, fresh_runs, bound, places = {}, {}, {}, {}
local statuses, aheads, heads = {}, {}, {}
local created, queued, added = 0, 0, 0

local function ahead_of(id, job, run)
  local r = decode(job, run)
  if not r or r.state ~= QUEUED or r.suspect then return 0 end
  return places[id] or call('ZRANK', LINES[r.prio], id) or 0
end

local function answer(i, status, id, job)
  statuses[i] = status
  local ahead = 0
  if job then
    local run = fresh_runs[id] or call('HGET', runs, id)
    ahead = ahead_of(id, job, run)
    heads[#heads + 1] = id .. head(job, run)
  end
  aheads[i] = spack('>I4', ahead)
end

local function create(i, id, prio, max, delay, expires, nl, tl, taill, blobl, body, at)
  local bits = prio * 16 + (active < now and 128 or 0) + (blobl > 0 and 64 or 0)
  local name = ssub(payload, at, at + nl - 1)
  local notbefore, place = 0, 0
  if delay > 0 then
    notbefore = now + delay
  else
    seq = seq + 1
    place = seq
  end
  local job = spack(JOB, KIND + VERSION, bits, now, place, max, nl, tl)
  if active < now then job = job .. spack('>I6', active) end
  if blobl > 0 then
    job = job .. spack('>I4', blobl)
    local from = at + nl + tl + taill
    add(set_blobs, id, ssub(payload, from, from + blobl - 1))
  end
  job = job .. ssub(payload, at, at + nl + tl + taill - 1)
  fresh[id] = job
  add(set_jobs, id, job)
  if delay > 0 or expires > 0 then
    local r = decode_job(job)
    r.notbefore = notbefore
    if delay > 0 then r.state, r.base = SCHEDULED, active + delay end
    if expires > 0 then
      r.expires = active + expires
      add(set_expiries, r.expires, id)
    end
    fresh_runs[id] = encode_run(r)
    add(set_runs, id, fresh_runs[id])
  end
  local ahead = 0
  if delay > 0 then
    add(set_delayed, notbefore, id)
    bump(SCHEDULED, name, 1)
  else
    add(set_ready[prio], seq, id)
    ahead = waiting[prio]
    places[id], waiting[prio] = ahead, ahead + 1
    queued = queued + 1
    bump(QUEUED, name, 1)
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
  if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
  flush(set_jobs)
  flush(set_runs)
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
