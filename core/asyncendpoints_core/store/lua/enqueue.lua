-- enqueue: create jobs, each decided on its own: same id, idempotency key, closed, room, creation.
-- KEYS: meta jobs runs blobs ready:high ready:normal ready:low suspects delayed expiries idem idemexp
--   counts totals idle bell watch
-- META: tick safety seq bytes paused suspended closed max_depth max_bytes ttl_ms idempotency_ms
--   completed_ms failed_ms
-- LIB: optional batch time ready record counters events wake_up
-- FLAGS: deny-oom
-- ARGV: 1 NEW_JOB for each; 2 their parts one after the other
-- RETURNS: context; a letter for each: c created, e exists, r replayed, R replayed but its job is
--   gone, m mismatch, f full, x closed; AHEAD for each; then id and state of each e and r
local ITEM, active = layout.NEW_JOB.size, time.active
local items, payload = ARGV[1], ARGV[2]
local n = #items / ITEM
local ids = {}
for i = 1, n do
  local at = (i - 1) * ITEM + layout.NEW_JOB.at.id
  ids[i] = ssub(items, at, at + layout.NEW_JOB.width.id - 1)
end
local stored = call('HMGET', jobs, unpack(ids))

local waiting = ready.sizes()
local depth = waiting[0] + waiting[1] + waiting[2] + call('ZCARD', suspects)
  + call('ZCARD', delayed)

local set_jobs, set_runs = batch.new('HSET', jobs), batch.new('HSET', runs)
local set_blobs = batch.new('HSET', blobs)
local set_delayed, set_expiries = batch.new('ZADD', delayed), batch.new('ZADD', expiries)
local set_idempotency = batch.new('HSET', idempotency)
local set_idempotency_ends = batch.new('ZADD', idempotency_ends)
local set_ready = batch.each('ZADD', ready)
local fresh, fresh_runs, bound, places = {}, {}, {}, {}
local statuses, aheads, heads = {}, {}, {}
local created, queued, added, next_seq = 0, 0, 0, seq

local function ahead_of(id, job, run)
  local r = record.decode(job, run)
  if not r or r.state ~= QUEUED or r.suspect then return 0 end
  return places[id] or call('ZRANK', ready[r.priority], id) or 0
end

local function answer(i, status, id, job)
  statuses[i] = status
  local ahead = 0
  if job then
    local run = fresh_runs[id] or call('HGET', runs, id)
    ahead = ahead_of(id, job, run)
    heads[#heads + 1] = id .. record.head(job, run)
  end
  aheads[i] = spack(layout.AHEAD.format, layout.AHEAD.fields)
end

local function read_binding(s)
  local layout.BINDING.fields = sunpack(layout.BINDING.format, s)
  return id, kept_until, ssub(s, layout.BINDING.size + 1)
end

local function bind(id, kept_until)
  return spack(layout.BINDING.format, layout.BINDING.fields)
end

-- A job before its parts; `blob`: its body, where that is kept apart.
local function encode_job(priority, seq, max_attempts, name_size, trace_size, attributes_size, blob)
  local format, flags, created_at = layout.FORMAT, priority * layout.JOB.unit.priority, now
  if active == now and not blob and attributes_size == 0 then
    return spack(layout.JOB.format, layout.JOB.fields)
  end
  local r = {flags = flags, ttl_from = active < now and active or nil, body_size = blob and #blob}
  if attributes_size > 0 then
    format, r.attributes_size = layout.FORMAT_WITH_ATTRIBUTES, attributes_size
  end
  local more = optional.write(r, layout.JOB.optional)
  flags = r.flags
  return spack(layout.JOB.format, layout.JOB.fields) .. more
end

-- Makes the job of `job`'s bytes; `blob`: its body, where that is kept apart.
local function create(i, id, job, name, priority, delay, ttl, size, blob)
  if blob then batch.add(set_blobs, id, blob) end
  fresh[id] = job
  batch.add(set_jobs, id, job)
  if delay > 0 or ttl > 0 then
    local r = record.decode_job(job)
    if delay > 0 then r.state, r.not_before, r.ttl_from = SCHEDULED, now + delay, active + delay end
    if ttl > 0 then
      r.expires_at = active + ttl
      batch.add(set_expiries, r.expires_at, id)
    end
    fresh_runs[id] = record.encode_run(r)
    batch.add(set_runs, id, fresh_runs[id])
  end
  local ahead = 0
  if delay > 0 then
    batch.add(set_delayed, now + delay, id)
    counters.bump(SCHEDULED, name, 1)
  else
    batch.add(set_ready[priority], next_seq, id)
    ahead = waiting[priority]
    places[id], waiting[priority] = ahead, ahead + 1
    queued = queued + 1
    counters.bump(QUEUED, name, 1)
  end
  statuses[i], aheads[i] = 'c', spack(layout.AHEAD.format, layout.AHEAD.fields)
  depth, added, created = depth + 1, added + size, created + 1
  events.add(id, 1)
end

local parts_at = 1
for i = 1, n do
  local layout.NEW_JOB.fields = sunpack(layout.NEW_JOB.format, items, (i - 1) * ITEM + 1)
  local stored_job = stored[i] or fresh[id]
  local key, fingerprint
  local decided = false
  if not stored_job and key_size > 0 then
    local key_at = parts_at + layout.NEW_JOB.before.key
    local fingerprint_at = parts_at + layout.NEW_JOB.before.fingerprint
    key = ssub(payload, key_at, key_at + key_size - 1)
    fingerprint = ssub(payload, fingerprint_at, fingerprint_at + fingerprint_size - 1)
    local value = bound[key] or call('HGET', idempotency, key)
    if value then
      local owner, kept_until, bound_to = read_binding(value)
      local earlier = fresh[owner] or call('HGET', jobs, owner)
      decided = earlier or kept_until > now
      if decided and bound_to ~= fingerprint then
        answer(i, 'm')
      elseif decided and earlier then
        answer(i, 'r', owner, earlier)
      elseif decided then
        answer(i, 'R')
      end
    end
  end
  if stored_job then
    answer(i, 'e', id, stored_job)
  elseif decided then
    -- answered above
  elseif closed > 0 then
    answer(i, 'x')
  elseif depth >= max_depth or bytes + added + body_size > max_bytes then
    answer(i, 'f')
  else
    if delay_ms == 0 then next_seq = next_seq + 1 end
    local content_at = parts_at + layout.NEW_JOB.before.content
    local blob_at = parts_at + layout.NEW_JOB.before.blob
    local content = ssub(payload, content_at, content_at + content_size - 1)
    local blob = blob_size > 0 and ssub(payload, blob_at, blob_at + blob_size - 1) or nil
    local job = encode_job(priority, delay_ms == 0 and next_seq or 0, max_attempts, name_size,
      trace_size, attributes_size, blob) .. content
    local name = ssub(content, layout.JOB.before.name + 1, layout.JOB.before.name + name_size)
    create(i, id, job, name, priority, delay_ms, ttl_ms, body_size, blob)
    if key then
      bound[key] = bind(id, now + idempotency_ms) .. fingerprint
      batch.add(set_idempotency, key, bound[key])
      batch.add(set_idempotency_ends, now + idempotency_ms, key)
    end
  end
  parts_at = parts_at + layout.NEW_JOB.parts_size
end

if created > 0 then
  if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
  batch.flush(set_jobs)
  batch.flush(set_runs)
  batch.flush(set_blobs)
  batch.flush_each(set_ready)
  batch.flush(set_delayed)
  batch.flush(set_expiries)
  batch.flush(set_idempotency)
  batch.flush(set_idempotency_ends)
  call('HSET', meta, 'seq', string.format('%.0f', next_seq), 'bytes',
    string.format('%.0f', bytes + added))
  counters.tally('created', created)
  counters.flush()
  wake_up(queued)
  events.publish()
end
return {time.context(), table.concat(statuses), table.concat(aheads), unpack(heads)}
