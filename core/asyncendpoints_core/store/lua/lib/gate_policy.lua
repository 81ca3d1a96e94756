-- Keys and limits of a policy: `packed`, a map of limits by resource; empty without.
-- `meta.gated`: 0 without keys and limits, 1 with limits of concurrency, 2 with none of these: then
-- running jobs have no places.
-- LIB: record guard limits
-- A value of over 64 bytes makes Redis keep a small hash as a table, not as a list that is searched.
local KEEPER = '\0'
local KEEP = string.rep('-', 65)

-- What of each resource is counted, as text: '' without limits of concurrency.
local function counted_of(limited)
  local found, some = {}, false
  for resource, limit in pairs(limited) do
    some = some or limit.concurrency > 0
    found[#found + 1] = resource .. (limit.concurrency > 0 and '\1' or '\0')
  end
  table.sort(found)
  return some and table.concat(found, '\n') or ''
end

-- Whether waiting jobs of a resource are counted.
local function has_depth(limited, resource)
  local limit = limited[resource] or ssub(resource, 1, 1) == 'k' and limited.k
  return limit and limit.depth > 0
end

-- Jobs that wait since before their key got a maxDepth are counted by the next sweeps. Where one has none
-- any more, nobody removes what was counted of it.
local function count_waiting(known, limited)
  local begins, ends, some = false, false, false
  for _, of in ipairs({known, limited}) do
    for resource in pairs(of) do
      local before, after = has_depth(known, resource), has_depth(limited, resource)
      begins, ends, some = begins or after and not before, ends or before and not after, some or after
    end
  end
  if ends then call('UNLINK', gate_waiting) end
  if not some then
    call('HDEL', gate_cursors, 'uncounted')
  elseif begins or ends then
    call('HSET', gate_cursors, 'uncounted', '0:0')
    guard(gate_cursors)
  end
end

local function read_limits()
  local found, stored = {}, call('HGETALL', gate_limits)
  for i = 1, #stored, 2 do found[stored[i]] = limits.read(stored[i + 1]) end
  return found
end

-- Gives the jobs that run the places that `limited` count, and no others.
local function book_running(limited)
  local function counts(resource, any)
    local limit = limited[resource] or limited[any]
    return limit and limit.concurrency > 0
  end
  call('UNLINK', gate_places, gate_usage)
  for _, member in ipairs(call('ZRANGEBYLEX', held, '[\1', '+')) do
    local id = record.held_id(member)
    local job = call('HGET', jobs, id)
    local r = job and record.decode_job(job)
    if r then
      local carried = record.attributes(job)
      local key = carried and carried.key or ''
      call('HSET', gate_places, id, key .. '\0' .. r.name)
      if counts('j' .. r.name) then call('ZADD', gate_usage, 0, 'j' .. r.name .. '\0' .. id) end
      if key ~= '' and counts('k' .. key, 'k') then
        call('ZADD', gate_usage, 0, 'k' .. key .. '\0' .. id)
      end
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
  local limited = packed ~= '' and cmsgpack.unpack(packed) or {}
  local known = read_limits()
  local before, counted = counted_of(known), counted_of(limited)
  count_waiting(known, limited)
  call('UNLINK', gate_limits)
  for resource, limit in pairs(limited) do
    call('HSET', gate_limits, resource, cmsgpack.pack(limit))
  end
  if gated == 0 then call('HSET', gate_tags, 'v0', seq, 'v1', seq, 'v2', seq) end
  if counted == '' then
    call('UNLINK', gate_places, gate_usage)
    call('HSET', meta, 'gated', 2)
  elseif gated ~= 1 or counted ~= before then
    book_running(limited)
    call('HSET', meta, 'gated', 1)
  end
  for _, key in ipairs({gate_tags, gate_states, gate_flows}) do call('HSET', key, KEEPER, KEEP) end
  reconsider()
  for _, key in ipairs({gate_limits, gate_tags, gate_times, gate_states, gate_flows}) do guard(key) end
end

return gate_policy
