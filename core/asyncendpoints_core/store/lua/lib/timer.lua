-- The keys of an idle endpoint (no unfinished job) expire together after a month without use.
-- `safety` in meta is the time of expiry; at 0 or below the keys do not expire, and no timer is set
-- before -safety. While it is above 0 no job can be accepted: enqueue and redrive return an error,
-- and cancel_timer takes the keys off the timer. docs/adr/0006-safety-timer.md
-- LIB: ready
local timer = {}
local DAY_MS = 86400000
-- After the last use, within a day; and how long beyond the longest retention.
local LEAST_MS, MARGIN_MS = 30 * DAY_MS, 7 * DAY_MS
-- A queue that is seldom empty is put on it and taken off it this seldom.
local QUIET_MS = 300000
-- What has a time to live of its own.
local OWN = {
  [watch] = true, [figures_10] = true, [figures_600] = true, [figures_steps] = true,
  [figures_scaling] = true,
}

local function at_rest()
  -- One member of `held` is not a job.
  local waiting = ready.count() + call('ZCARD', suspects) + call('ZCARD', delayed)
  if waiting > 0 or call('ZCARD', held) > 1 then return false end
  if call('ZCARD', unsent_events) > 0 or call('ZCARD', deliveries_due) > 0 then return false end
  -- Also jobs that are missing from their queue.
  local by_state = call('HGETALL', counts)
  for i = 1, #by_state, 2 do
    if string.byte(by_state[i]) < 51 and tonumber(by_state[i + 1]) > 0 then return false end
  end
  return true
end

local function set_safety(to)
  safety = to
  call('HSET', meta, 'safety', string.format('%.0f', to))
end

function timer.cancel()
  for _, key in ipairs(KEYS) do
    if not OWN[key] then call('PERSIST', key) end
  end
  set_safety(-(now + QUIET_MS))
end

-- Puts an idle endpoint on its timer, or renews it, once a day. `soon`: this may be the last call.
function timer.update(soon)
  local kept = call('HMGET', meta, 'purged', 'completed_ms', 'failed_ms', 'idempotency_ms')
  if kept[1] == '1' then return end -- its tombstone has a time of its own
  if not at_rest() then
    if safety > 0 then timer.cancel() end -- accepted by an older program without this timer
    return
  end
  local ends = 0
  for i = 2, 4 do ends = math.max(ends, tonumber(kept[i]) or 0) end
  ends = now + math.max(LEAST_MS, ends + MARGIN_MS)
  if safety > 0 and math.abs(ends - safety) < DAY_MS then return end
  if safety <= 0 and not soon and now < -safety then return end
  set_safety(ends)
  for _, key in ipairs(KEYS) do
    if not OWN[key] then call('PEXPIREAT', key, string.format('%.0f', ends)) end
  end
end

return timer
