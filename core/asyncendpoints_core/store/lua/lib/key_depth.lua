-- How many jobs of a key wait, Queued or Scheduled, where there is a limit of them.
-- LIB: limiting
local key_depth = {}
local function member(id, key)
  local l = key ~= '' and limiting.of('k' .. key)
  return l and l.depth > 0 and key .. '\0' .. id
end

-- A job waits, or waits no more. `key`: if the caller knows it.
function key_depth.add(id, key)
  local m = member(id, key or limiting.of_job(id) or '')
  if m then call('ZADD', gate_waiting, 0, m) end
end
function key_depth.remove(id, key)
  local m = member(id, key or limiting.of_job(id) or '')
  if m then call('ZREM', gate_waiting, m) end
end

-- Whether no further job of a key is accepted.
function key_depth.full(key)
  local l = key ~= '' and limiting.of('k' .. key)
  return l and l.depth > 0
    and call('ZLEXCOUNT', gate_waiting, '[' .. key .. '\0', '(' .. key .. '\1') >= l.depth
end

if gated == 0 then return nil end
return key_depth
