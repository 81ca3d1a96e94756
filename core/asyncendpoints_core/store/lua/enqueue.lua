-- enqueue: create jobs, each decided on its own: same id, idempotency key, closed, lock, room,
--   creation.
-- KEYS: meta jobs runs blobs ready:high ready:normal ready:low suspects delayed expiries idem idemexp
--   counts totals idle bell watch
-- META: tick safety seq bytes paused suspended closed max_depth max_bytes ttl_ms idempotency_ms
--   completed_ms failed_ms
-- LIB: batch time ready record counters events wake_up new_job lines position due_soon
-- FEATURES: locks GATE
-- FEATUREMETA: gated
-- FEATURELIB: unique job_webhooks gate pauses skips key_depth
-- FLAGS: deny-oom
-- ARGV: 1 NEW_JOB for each; 2 their parts one after the other
-- RETURNS: context; a letter for each: c created, e exists, r replayed, R replayed but its job is
--   gone, m mismatch, f full, k too many of its key wait, x closed; u an equal job is unfinished,
--   p it was replaced, d it is a reason to refuse; w that job has too many receivers for one more;
--   POSITION for each; then id and state of each e, r, u, p, d and w
local ITEM, active = layout.NEW_JOB.size, time.active
-- The names that each plain submission needs, as locals.
local add, bump, watched = batch.add, counters.bump, events.watched
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
  + call('ZCARD', delayed) + lines.behind()

local set_jobs, collect = batch.new('HSET', jobs), batch.collect
local set_ready = batch.each('ZADD', ready)
local fresh, fresh_runs, bound, ranks = {}, {}, {}, {}
local statuses, positions, heads = {}, {}, {}
local created, queued, added, next_seq, changed = 0, 0, 0, seq, 0
local flush
local RETURN, REJECT, REPLACE = 1, 2, 3

-- With keys, known once the lines have the whole batch: what comes later may start before, or move
-- what came earlier to the line `moved`, false for none.
local unknown, moved = {}, {}

local function put(i, ahead, before, rate_ms)
  positions[i] = spack(layout.POSITION.format, layout.POSITION.fields)
end

local function ahead_of(i, id, job, run)
  local r = record.decode(job, run)
  if not r or r.state ~= QUEUED or r.suspect then return 0 end
  if gate then
    unknown[#unknown + 1] = {i, id, r.priority}
    return 0
  end
  return ranks[id] or call('ZRANK', ready[r.priority], id) or 0
end

local function answer(i, status, id, job)
  local ahead = 0
  statuses[i] = status
  if job then
    local run = fresh_runs[id] or call('HGET', runs, id)
    ahead = ahead_of(i, id, job, run)
    heads[#heads + 1] = id .. record.head(job, run)
  end
  put(i, ahead, 0, 0)
end

-- Nothing for one that cannot be read: the key is bound again.
local function read_binding(s)
  if #s < layout.BINDING.size then return nil end
  local layout.BINDING.fields = sunpack(layout.BINDING.format, s)
  return id, kept_until, ssub(s, layout.BINDING.size + 1)
end

local function bind_key(key, id, fingerprint)
  local kept_until = now + idempotency_ms
  bound[key] = spack(layout.BINDING.format, layout.BINDING.fields) .. fingerprint
  collect('HSET', idempotency, key, bound[key])
  collect('ZADD', idempotency_ends, kept_until, key)
end

local soon = 0

-- Makes the job of `job`'s bytes; `blob`: its body, where that is kept apart.
local function create(i, id, job, name, priority, delay, ttl, size, blob, carried)
  if blob then collect('HSET', blobs, id, blob) end
  fresh[id] = job
  add(set_jobs, id, job)
  if delay > 0 or ttl > 0 then
    local r = record.decode_job(job)
    if delay > 0 then r.state, r.not_before, r.ttl_from = SCHEDULED, now + delay, active + delay end
    if ttl > 0 then
      r.expires_at = active + ttl
      collect('ZADD', expiries, r.expires_at, id)
    end
    fresh_runs[id] = record.encode_run(r)
    collect('HSET', runs, id, fresh_runs[id])
  end
  local ahead = 0
  if delay > 0 then
    if due_soon(delay) then soon = 1 end
    collect('ZADD', delayed, now + delay, id)
    bump(SCHEDULED, name, 1)
  else
    add(set_ready[priority], next_seq, id)
    ahead = waiting[priority]
    ranks[id], waiting[priority] = ahead, ahead + 1
    queued = queued + 1
    bump(QUEUED, name, 1)
    if gate then
      unknown[#unknown + 1] = {i, id, priority}
      gate.expect(id, carried and carried.key or '', name)
    end
  end
  if key_depth and carried then key_depth.add(id, carried.key) end
  statuses[i] = 'c'
  put(i, ahead, 0, 0)
  depth, added, created = depth + 1, added + size, created + 1
  if watched then events.add(id, 1) end
end

-- Writes what was decided so far.
function flush()
  batch.flush(set_jobs)
  batch.flush_collected()
  queued = queued - lines.add(set_ready)
end

-- Moves a waiting job, whose record is `r`, to where it waits now: until `due`, or in line.
local function move(id, r, priority, due)
  local state = due > now and SCHEDULED or QUEUED
  if r.state == SCHEDULED then
    call('ZREM', delayed, id)
  else
    if gate then gate.remove(id) else call('ZREM', ready[r.priority], id) end
    waiting[r.priority] = waiting[r.priority] - 1
  end
  counters.bump(r.state, r.name, -1)
  counters.bump(state, r.name, 1)
  if state == SCHEDULED then
    if due_soon(due - now) then soon = 1 end
    call('ZADD', delayed, due, id)
    -- Its time to live may end before it is due: the sweep finds it there.
    if r.expires_at == 0 then collect('ZADD', expiries, r.ttl_from + ttl_ms, id) end
  else
    if r.state == SCHEDULED then
      next_seq = next_seq + 1
      r.seq, queued = next_seq, queued + 1
    end
    batch.add(set_ready[priority], r.seq, id)
    if skips then skips.put(priority, r.seq) end
    waiting[priority] = waiting[priority] + 1
  end
  moved[id] = state == QUEUED and priority
  r.state, r.priority, r.not_before = state, priority, state == SCHEDULED and due or 0
end

-- Gives the waiting job `id` the input of a later submission, whose record is `job`.
local function replace(i, id, r, job, priority, due, size, blob)
  flush() -- what follows reads the lines
  ranks = {}
  if key_depth then key_depth.remove(id) end
  if r.body_apart and not blob then call('HDEL', blobs, id) end
  if blob then collect('HSET', blobs, id, blob) end
  added = added + size - r.body_size
  move(id, r, priority, due)
  r.body_size, r.body_apart = size, blob ~= nil
  r.max_attempts = sunpack(layout.JOB.format.max_attempts, job, layout.JOB.at.max_attempts)
  r.updated_at, r.revision = now, r.revision + 1
  fresh[id], fresh_runs[id] = job, record.encode_run(r)
  batch.add(set_jobs, id, job)
  collect('HSET', runs, id, fresh_runs[id])
  flush()
  if key_depth then key_depth.add(id) end
  events.add(id, r.revision)
  answer(i, 'p', id, job)
end

-- The lock of a unique submission, and what is known of the unfinished job that holds it.
local function lock_of(attributes)
  local lock = unique.get(attributes.lock)
  if not lock then return nil, nil, nil end
  local job = fresh[lock.id] or call('HGET', jobs, lock.id)
  local run = job and (fresh_runs[lock.id] or call('HGET', runs, lock.id))
  return lock, unique.holder(lock, job, run), job
end

-- Remembers that the submission `id` was answered with the job that holds its lock.
local function decide(id, name, lock, key, fingerprint)
  lock.submission = id
  unique.set(name, lock)
  if key then bind_key(key, lock.id, fingerprint) end
  changed = changed + 1
end

-- Adds the receiver that a submission names to the unfinished job `id` that it is answered with.
-- Returns that job, or nil when it has too many.
local function add_receiver(id, job, carried)
  if not carried or carried.webhooks == '' then return job end
  local r = record.decode(job, fresh_runs[id] or call('HGET', runs, id))
  if not r or r.state > IN_PROGRESS then return job end
  local with = job_webhooks.add(job, carried.webhooks)
  if with and with ~= job then
    fresh[id], changed = with, changed + 1
    batch.add(set_jobs, id, with)
  end
  return with
end

local function cut(at, size)
  return ssub(payload, at, at + size - 1)
end

local parts_at = 1
for i = 1, n do
  local layout.NEW_JOB.fields = sunpack(layout.NEW_JOB.format, items, (i - 1) * ITEM + 1)
  local stored_job = stored[i] or fresh[id]
  local content_at = parts_at + layout.NEW_JOB.before.content
  local key, fingerprint, carried, lock, holder, held_job
  local decided = false
  if attributes_size > 0 and not stored_job then
    carried = record.read_attributes(
      cut(content_at + layout.JOB.before.attributes, attributes_size))
  end
  if on_conflict > 0 and not stored_job then
    lock, holder, held_job = lock_of(carried)
    if lock and lock.submission == id and held_job then -- its reply was lost
      answer(i, on_conflict == REPLACE and 'p' or 'u', lock.id, held_job)
      decided = true
    end
  end
  if not stored_job and not decided and key_size > 0 then
    key = cut(parts_at + layout.NEW_JOB.before.key, key_size)
    fingerprint = cut(parts_at + layout.NEW_JOB.before.fingerprint, fingerprint_size)
    local value = bound[key] or call('HGET', idempotency, key)
    if value then
      local owner, kept_until, bound_to = read_binding(value)
      local earlier = owner and (fresh[owner] or call('HGET', jobs, owner))
      decided = owner and (earlier or kept_until > now)
      if decided and bound_to ~= fingerprint then
        answer(i, 'm')
      elseif decided and earlier then
        local job = add_receiver(owner, earlier, carried)
        answer(i, job and 'r' or 'w', owner, job or earlier)
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
  elseif holder and on_conflict == REJECT then
    answer(i, 'd', lock.id, held_job)
  elseif holder and on_conflict == RETURN then
    local job = add_receiver(lock.id, held_job, carried)
    answer(i, job and 'u' or 'w', lock.id, job or held_job)
    if job then decide(id, carried.lock, lock, key, fingerprint) end
  elseif holder and holder.claim == 0 then
    if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
    if bytes + added + body_size - holder.body_size > max_bytes then
      answer(i, 'f')
    else
      local blob = blob_size > 0 and cut(parts_at + layout.NEW_JOB.before.blob, blob_size) or nil
      local job = new_job(priority, holder.seq, max_attempts, name_size, trace_size,
        attributes_size, blob, holder.created_at) .. cut(content_at, content_size)
      local due = delay_ms > 0 and math.min(now + delay_ms, lock.ends_at) or 0
      replace(i, lock.id, holder, job, priority, due, body_size, blob)
      decide(id, carried.lock, lock, key, fingerprint)
    end
  elseif key_depth and carried and key_depth.full(carried.key) then
    answer(i, 'k')
    unknown[#unknown + 1] = {i, nil, priority, carried.key}
  elseif depth >= max_depth or bytes + added + body_size > max_bytes then
    answer(i, 'f')
  else
    if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
    if delay_ms == 0 then next_seq = next_seq + 1 end
    local content = ssub(payload, content_at, content_at + content_size - 1)
    local blob = blob_size > 0 and cut(parts_at + layout.NEW_JOB.before.blob, blob_size) or nil
    local job = new_job(priority, delay_ms == 0 and next_seq or 0, max_attempts, name_size,
      trace_size, attributes_size, blob) .. content
    local name = ssub(content, layout.JOB.before.name + 1, layout.JOB.before.name + name_size)
    create(i, id, job, name, priority, delay_ms, ttl_ms, body_size, blob, carried)
    if on_conflict > 0 then unique.take(carried, id, 0) end
    if key then bind_key(key, id, fingerprint) end
  end
  parts_at = parts_at + layout.NEW_JOB.parts_size
end

if created + changed > 0 then
  flush()
  if unique then unique.flush() end
  call('HSET', meta, 'seq', string.format('%.0f', next_seq), 'bytes',
    string.format('%.0f', bytes + added))
  if created > 0 then counters.tally('created', created) end
  counters.flush()
  wake_up(queued + soon)
  events.publish()
end
for _, one in ipairs(unknown) do
  local i, id, line = one[1], one[2], one[3]
  if id and moved[id] ~= nil then line = moved[id] end
  if not id then
    put(i, position.of_key(one[4], line))
  elseif line then
    put(i, position.of(id, line))
  else -- delayed by a later submission of the batch
    put(i, 0, 0, 0)
  end
end
return {time.context(pauses), table.concat(statuses), table.concat(positions), unpack(heads)}
