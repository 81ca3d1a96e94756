-- How many jobs of a key wait, Queued or Scheduled, where there is a limit of them.
-- LIB: limiting gate_data
-- IF: gated > 0
-- LAZY:
local key_depth = {}
local to, counts = gate_data.collect('ZADD', 'ZREM', gate_waiting), {}

local function member(id, key)
  local l = key ~= '' and limiting.of('k' .. key)
  return l and l.depth > 0 and key .. '\0' .. id
end

-- A job waits, or waits no more. `key`: if the caller knows it.
function key_depth.add(id, key)
  key = key or limiting.of_job(id) or ''
  local m = member(id, key)
  if m then
    to[m] = '0'
    counts[key] = counts[key] and counts[key] + 1
  end
end
function key_depth.remove(id, key)
  key = key or limiting.of_job(id) or ''
  local m = member(id, key)
  if m then to[m], counts[key] = false, nil end
end

-- Whether no further job of a key is accepted.
function key_depth.full(key)
  local l = key ~= '' and limiting.of('k' .. key)
  if not l or l.depth == 0 then return false end
  if not counts[key] then
    gate_data.write()
    -- What waits since before the limit may still be uncounted (lib/gate_repair.lua).
    local from, to_key = '[' .. key .. '\0', '(' .. key .. '\1'
    counts[key] = math.max(call('ZLEXCOUNT', gate_waiting, from, to_key),
      call('ZLEXCOUNT', gate_keyed, from, to_key))
  end
  return counts[key] >= l.depth
end

return key_depth
