-- Keys and limits of a policy: `packed`, a map of limits by resource; empty without.
-- LIB: record guard
-- Jobs that run already have places too.
local function book_running()
  for _, member in ipairs(call('ZRANGEBYLEX', held, '[\1', '+')) do
    local id = record.held_id(member)
    local job = call('HGET', jobs, id)
    local r = job and record.decode_job(job)
    if r and call('HEXISTS', gate_places, id) == 0 then
      local carried = record.attributes(job)
      local key = carried and carried.key or ''
      call('HSET', gate_places, id, key .. '\0' .. r.name)
      call('ZADD', gate_usage, 0, 'j' .. r.name .. '\0' .. id)
      if key ~= '' then call('ZADD', gate_usage, 0, 'k' .. key .. '\0' .. id) end
    end
  end
end

-- Looks at every parked flow again.
local function reconsider()
  local member = call('ZRANGE', gate_parked, 0, 0)[1]
  while member do
    local resource = ssub(member, 1, string.find(member, '\0', 1, true) - 1)
    call('ZADD', gate_times, now, resource)
    member = call('ZRANGEBYLEX', gate_parked, '(' .. resource .. '\1', '+', 'LIMIT', 0, 1)[1]
  end
end

local function gate_policy(packed)
  if packed == '' and call('ZCARD', gate_keyed) == 0 then
    if gated > 0 then
      call('UNLINK', gate_keyed, gate_flows, gate_states, gate_parked, gate_times, gate_places,
        gate_usage, gate_buckets, gate_limits, gate_tags, gate_order, gate_cursors, gate_waiting)
    end
    call('HSET', meta, 'gated', 0)
    return
  end
  call('UNLINK', gate_limits)
  for resource, limit in pairs(packed ~= '' and cmsgpack.unpack(packed) or {}) do
    call('HSET', gate_limits, resource, cmsgpack.pack(limit))
  end
  if gated == 0 then
    call('HSET', meta, 'gated', 1)
    call('HSET', gate_tags, 'v0', seq, 'v1', seq, 'v2', seq)
    book_running()
  end
  reconsider()
  for _, key in ipairs({gate_limits, gate_tags, gate_times}) do guard(key) end
end

return gate_policy
