-- sweep: expire waiting jobs, promote due ones, remove what is past its retention.
-- KEYS: all
-- META: tick safety seq bytes paused suspended ttl_ms completed_ms failed_ms max_finished
--   sweep_0 sweep_1 sweep_2
-- LIB: batch time optional record counts events wake_up finish save corrupt waiting remove rest guard
-- RETURNS: promoted, expired, removed, corrupt, 1 when there was more to do
local BOUND, REMOVE_BOUND, TOMBSTONE_MS, MAX_TOMBSTONES = 100, 200, 86400000, 10000
local more = 0

-- The default time to live: oldest first, so that the first fresh head ends the look. Started jobs
-- and those with an expiry of their own are in between; the next call continues after them.
local function expire_line(line, from)
  local low = from > 0 and '(' .. string.format('%.0f', from) or '-inf'
  local found = call('ZRANGEBYSCORE', READY[line], low, '+inf', 'WITHSCORES', 'LIMIT', 0, BOUND)
  local off = batch.new('ZREM', READY[line])
  local go_on = #found == 2 * BOUND and found[#found] or 0
  for i = 1, #found, 2 do
    local id = found[i]
    local job, run = call('HGET', jobs, id), call('HGET', runs, id)
    local r, why
    if job then r, why = record.decode(job, run) end
    if not job then
      drop_missing(QUEUED)
      batch.add(off, id)
    elseif why == 'corrupt' then
      keep_corrupt(id, run or job, QUEUED, job)
      batch.add(off, id)
    elseif r and expired(r) then
      expire(id, r)
      batch.add(off, id)
    elseif r and r.started_at == 0 and r.expires_at == 0 then
      go_on = 0
      break
    end
  end
  if go_on ~= 0 then more = 1 end
  call('HSET', meta, 'sweep_' .. line, go_on)
  batch.flush(off)
end
expire_line(0, sweep_0)
expire_line(1, sweep_1)
expire_line(2, sweep_2)
-- Written before the next look, which must not find the same jobs again.
flush_waiting()

local function expire_own()
  local due = call('ZRANGEBYSCORE', expiries, '-inf', string.format('%.0f', active), 'LIMIT', 0,
    BOUND)
  if #due == BOUND then more = 1 end
  if #due == 0 then return end
  local off, off_delayed, later = batch.new('ZREM', expiries), batch.new('ZREM', delayed), nil
  local off_ready = {
    [0] = batch.new('ZREM', READY[0]), batch.new('ZREM', READY[1]), batch.new('ZREM', READY[2]),
  }
  later = batch.new('ZADD', expiries)
  local stored, ran = call('HMGET', jobs, unpack(due)), call('HMGET', runs, unpack(due))
  for i, id in ipairs(due) do
    local r = record.decode(stored[i], ran[i])
    if r and r.state <= SCHEDULED and expired(r) then
      if r.state == SCHEDULED then batch.add(off_delayed, id) else batch.add(off_ready[r.priority], id) end
      expire(id, r)
      batch.add(off, id)
    elseif r and r.state <= SCHEDULED and r.started_at == 0 then
      batch.add(later, end_of_wait(r), id)
    else
      batch.add(off, id)
    end
  end
  batch.flush(off)
  batch.flush(later)
  batch.flush(off_delayed)
  for prio = 0, 2 do batch.flush(off_ready[prio]) end
end
expire_own()
flush_waiting()

local promoted, due = promote()
if due == LOOK_AHEAD then more = 1 end

local removed = 0
local function take_out(state, ids)
  if #ids == 0 then return end
  for i, run in ipairs(call('HMGET', runs, unpack(ids))) do
    local r = run and record.decode_run(run)
    remove(ids[i], state, r and r.name or lost_name(state, run))
    removed = removed + 1
  end
  if #ids == REMOVE_BOUND then more = 1 end
end
local KEPT = {[3] = completed_ms, [4] = failed_ms, [5] = failed_ms}
local FINISHED = {[3] = finished_completed, [4] = finished_failed, [5] = finished_canceled}
local surplus = -max_finished
for state = 3, 5 do
  surplus = surplus + call('ZCARD', FINISHED[state])
  local old = call('ZRANGEBYSCORE', FINISHED[state], '-inf',
    string.format('%.0f', now - KEPT[state]), 'LIMIT', 0, REMOVE_BOUND)
  surplus = surplus - #old
  take_out(state, old)
end
flush_removed()

local function cap_finished()
  if surplus <= 0 then return end
  if surplus > REMOVE_BOUND then more = 1 end
  local oldest = {}
  for state = 3, 5 do
    local heads = call('ZRANGE', FINISHED[state], 0, math.min(surplus, REMOVE_BOUND) - 1,
      'WITHSCORES')
    for i = 1, #heads, 2 do
      oldest[#oldest + 1] = {tonumber(heads[i + 1]), state, heads[i], #oldest}
    end
  end
  table.sort(oldest, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[4] < b[4] end)
  local by_state = {[3] = {}, [4] = {}, [5] = {}}
  for i = 1, math.min(surplus, REMOVE_BOUND, #oldest) do
    table.insert(by_state[oldest[i][2]], oldest[i][3])
  end
  for state = 3, 5 do take_out(state, by_state[state]) end
end
off_jobs, off_blobs = batch.new('HDEL', jobs), batch.new('HDEL', blobs)
removed_runs = batch.new('HDEL', runs)
off_results, off_corrupt = batch.new('HDEL', results), batch.new('HDEL', corrupt)
on_tombstones = batch.new('ZADD', tombstones)
for state = 3, 5 do off_finished[state] = batch.new('ZREM', FINISHED[state]) end
cap_finished()
flush_removed()

-- Idempotency keys live as long as their job, and their own time.
local keys_due = call('ZRANGEBYSCORE', idempotency_ends, '-inf', string.format('%.0f', now), 'LIMIT', 0,
  BOUND)
local off_idempotency, off_idempotency_ends = batch.new('HDEL', idempotency), batch.new('ZREM', idempotency_ends)
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

-- What unreadable records took with them is known again once nothing is unfinished.
if bytes ~= 0 and call('ZCARD', ready_high) + call('ZCARD', ready_normal) + call('ZCARD', ready_low)
  + call('ZCARD', suspects) + call('ZCARD', delayed) == 0 and call('ZCARD', held) <= 1 then
  call('HSET', meta, 'bytes', 0)
end
local expired_jobs, corrupted = sums.expired or 0, sums.corrupt or 0
flush_counts()
wake(promoted)
publish()
rest()
guard(tombstones)
return {promoted, expired_jobs, removed, corrupted, more}
