-- sweep: expire waiting jobs, promote due ones, remove what is past its retention.
-- KEYS: all
-- META: tick safety seq bytes paused closed suspended ttl_ms completed_ms failed_ms max_finished
--   sweep_0 sweep_1 sweep_2
-- LIB: batch time ready finished record counters events wake_up corrupt_records queue remove timer
--   guard unique lines gate_policy
-- FEATURELIB: outbox gate_repair pauses skips
-- FEATURES: jobs WEBHOOKS GATE logs logs:times
-- FEATUREMETA: webhook_states webhook_pending gated log_bytes sweep_keyed
-- RETURNS: promoted, expired, removed, corrupt, 1 when there was more to do
local BOUND, REMOVE_BOUND, TOMBSTONE_MS, MAX_TOMBSTONES = 100, 200, 86400000, 10000
local more = 0

-- The default time to live: oldest first, so that the first fresh head ends the look. Started jobs
-- and those with an expiry of their own are in between; the next call continues after them.
local function expire_ready(line, priority, from)
  local low = from > 0 and '(' .. string.format('%.0f', from) or '-inf'
  local found = call('ZRANGEBYSCORE', line, low, '+inf', 'WITHSCORES', 'LIMIT', 0, BOUND)
  local off_ready = batch.each('ZREM', ready)
  local go_on = #found == 2 * BOUND and found[#found] or 0
  for i = 1, #found, 2 do
    local id = found[i]
    local job, run = call('HGET', jobs, id), call('HGET', runs, id)
    local r, why
    if job then r, why = record.decode(job, run) end
    local off = off_ready[r and r.priority or priority]
    if not job then
      corrupt_records.drop_missing(QUEUED)
      batch.add(off, id)
    elseif why == 'corrupt' then
      corrupt_records.keep(id, run or job, QUEUED, job)
      batch.add(off, id)
    elseif r and queue.expired(r) then
      queue.expire(id, r)
      batch.add(off, id)
    elseif r and r.started_at == 0 and r.expires_at == 0 and not (pauses and pauses.of[r.name]) then
      go_on = 0
      break
    end
  end
  lines.remove(off_ready)
  return go_on
end
local function expire_line(priority, from)
  if gate then return expire_ready(ready[priority], priority, 0) and 0 end
  if skips then from = math.max(from, skips[priority]) end
  return expire_ready(ready[priority], priority, from)
end
-- With keys the lines have other scores, and all that wait are also in `gate:order`, by age.
local sweep_order = gate and expire_ready(gate_order, 0, sweep_keyed)
queue.flush()
local high, normal, low = expire_line(0, sweep_0), expire_line(1, sweep_1), expire_line(2, sweep_2)
if high ~= 0 or normal ~= 0 or low ~= 0 or sweep_order and sweep_order ~= 0 then more = 1 end
call('HSET', meta, 'sweep_0', high, 'sweep_1', normal, 'sweep_2', low)
if gate then call('HSET', meta, 'sweep_keyed', sweep_order) end
-- Written before the next look, which must not find the same jobs again.
queue.flush()

local function expire_own()
  local due = call('ZRANGEBYSCORE', expiries, '-inf', string.format('%.0f', time.active), 'LIMIT', 0,
    BOUND)
  if #due == BOUND then more = 1 end
  if #due == 0 then return end
  local off, later = batch.new('ZREM', expiries), batch.new('ZADD', expiries)
  local off_delayed, off_ready = batch.new('ZREM', delayed), batch.each('ZREM', ready)
  local stored, ran = call('HMGET', jobs, unpack(due)), call('HMGET', runs, unpack(due))
  for i, id in ipairs(due) do
    local r = record.decode(stored[i], ran[i])
    if r and r.state <= SCHEDULED and queue.expired(r) then
      if r.state == SCHEDULED then batch.add(off_delayed, id) else batch.add(off_ready[r.priority], id) end
      queue.expire(id, r)
      batch.add(off, id)
    elseif r and r.state <= SCHEDULED and r.started_at == 0 then
      local still = pauses and pauses.stood_still(r, time.active) or 0
      batch.add(later, queue.end_of_wait(r) + still, id)
    else
      batch.add(off, id)
    end
  end
  batch.flush(off)
  batch.flush(later)
  batch.flush(off_delayed)
  lines.remove(off_ready)
end
expire_own()
queue.flush()

local promoted, due = queue.promote()
if due == queue.LOOK_AHEAD then more = 1 end
local unparked = gate and gate_repair() or 0

local removed = 0
-- `kept_ms`: past their retention, which a webhook's first try extends. Returns how many it keeps.
local function take_out(state, ids, kept_ms)
  if #ids == 0 then return 0 end
  local waiting = 0
  for i, run in ipairs(call('HMGET', runs, unpack(ids))) do
    local r = run and record.decode_run(run)
    if r and kept_ms and outbox and outbox.awaits(ids[i], r, kept_ms) then
      waiting = waiting + 1
    else
      remove.job(ids[i], state, r and r.name or corrupt_records.lost_name(state, run),
        r and r.revision)
      removed = removed + 1
    end
  end
  if #ids - waiting == REMOVE_BOUND then more = 1 end
  return waiting
end
local KEPT = {[COMPLETED] = completed_ms, [FAILED] = failed_ms, [CANCELED] = failed_ms}
local surplus = -max_finished
for state = COMPLETED, CANCELED do
  surplus = surplus + call('ZCARD', finished[state])
  local old = call('ZRANGEBYSCORE', finished[state], '-inf',
    string.format('%.0f', now - KEPT[state]), 'LIMIT', 0, REMOVE_BOUND)
  surplus = surplus - #old + take_out(state, old, KEPT[state])
end
remove.flush()

local function cap_finished()
  if surplus <= 0 then return end
  if surplus > REMOVE_BOUND then more = 1 end
  local oldest = {}
  for state = COMPLETED, CANCELED do
    local heads = call('ZRANGE', finished[state], 0, math.min(surplus, REMOVE_BOUND) - 1,
      'WITHSCORES')
    for i = 1, #heads, 2 do
      oldest[#oldest + 1] = {tonumber(heads[i + 1]), state, heads[i], #oldest}
    end
  end
  table.sort(oldest, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[4] < b[4] end)
  local by_state = {[COMPLETED] = {}, [FAILED] = {}, [CANCELED] = {}}
  for i = 1, math.min(surplus, REMOVE_BOUND, #oldest) do
    table.insert(by_state[oldest[i][2]], oldest[i][3])
  end
  for state = COMPLETED, CANCELED do take_out(state, by_state[state]) end
end
cap_finished()
remove.flush()

-- Idempotency keys live as long as their job, and their own time.
local keys_due = call('ZRANGEBYSCORE', idempotency_ends, '-inf', string.format('%.0f', now), 'LIMIT', 0,
  BOUND)
local off_idempotency = batch.new('HDEL', idempotency)
local off_idempotency_ends = batch.new('ZREM', idempotency_ends)
local later = batch.new('ZADD', idempotency_ends)
for i, value in ipairs(#keys_due > 0 and call('HMGET', idempotency, unpack(keys_due)) or {}) do
  local id = value and ssub(value, layout.BINDING.at.id, layout.BINDING.last.id)
  if id and call('HEXISTS', jobs, id) == 1 then
    batch.add(later, now + 60000, keys_due[i])
  else
    batch.add(off_idempotency, keys_due[i])
    batch.add(off_idempotency_ends, keys_due[i])
  end
end
if #keys_due == BOUND then more = 1 end
batch.flush(off_idempotency)
batch.flush(off_idempotency_ends)
batch.flush(later)

local function forget(key)
  local over = call('ZCARD', key) - MAX_TOMBSTONES
  if over > 0 then call('ZREMRANGEBYRANK', key, 0, math.min(over, 5 * REMOVE_BOUND) - 1) end
  local old = call('ZRANGEBYSCORE', key, '-inf', string.format('%.0f', now - TOMBSTONE_MS),
    'LIMIT', 0, REMOVE_BOUND)
  if #old > 0 then call('ZREM', key, unpack(old)) end
  if #old == REMOVE_BOUND then more = 1 end
end
forget(tombstones)
forget(deregistered)
if unique.sweep() then more = 1 end

if outbox then outbox.sweep(failed_ms) end

-- Pauses that have ended, of names of which no job is unfinished.
for name in pairs(pauses and pauses.of or {}) do
  local left = call('HMGET', counts, QUEUED .. name, SCHEDULED .. name, IN_PROGRESS .. name)
  if not (pauses.stopped[name] or left[1] or left[2] or left[3]) then
    call('HDEL', pause_fields, 'n' .. name)
  end
end

-- What unreadable records took with them is known again once nothing is unfinished.
if bytes ~= 0 and ready.count() + lines.behind() + call('ZCARD', suspects) + call('ZCARD', delayed) == 0
  and call('ZCARD', held) <= 1 then
  call('HSET', meta, 'bytes', 0)
end
local expired_jobs, corrupted = counters.sums.expired or 0, counters.sums.corrupt or 0
counters.flush()
wake_up(promoted - queue.held_back + unparked)
events.publish()
timer.update()
guard(tombstones)
if gate then
  guard(gate_cursors)
  -- Keys and limits ended, but jobs waited behind others then.
  if (call('HGET', meta, 'limits') or '') == '' then gate_policy('') end
end
return {promoted, expired_jobs, removed, corrupted, more}
