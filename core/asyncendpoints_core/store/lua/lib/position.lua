-- What starts before a waiting job if nothing more comes: how many jobs of its priority (`ahead`), of
-- them those of its key and name (`before`), and in how many ms rates let it start (`rate_ms`). With
-- keys it is an estimate for all but the first of a flow: a key of mean weight starts one in as many as
-- there are flows in the line.
-- LIB: ready
-- FEATURELIB: limiting key_tags
local position = {}
local LOOK = 16 -- flows whose weights are read
local MOST = 4294967295
local LONGEST = 3600000 -- ms
local limits, means = nil, {}

local function limited()
  limits = limits or call('HLEN', gate_limits)
  return limits > 0
end

local function weight_of(key)
  local l = key ~= '' and limiting.of('k' .. key)
  return l and l.weight or 1
end

local function mean_weight(line, size)
  local known = means[line]
  if known and known.size == size then return known.weight end
  local sum, n = 0, 0
  local heads = call('ZRANGE', ready[line], 0, LOOK - 1)
  local entries = heads[1] and call('HMGET', gate_flows, unpack(heads)) or {}
  for _, entry in ipairs(entries) do
    local of = entry and key_tags.parts_of(key_tags.flow_of(entry)) -- nil if it cannot be read
    if of then sum, n = sum + weight_of(of.key), n + 1 end
  end
  means[line] = {size = size, weight = n > 0 and sum / n or 1}
  return means[line].weight
end

-- How many jobs of a line start for `n` of a key.
local function starts_for(line, key, n)
  local size = math.max(1, call('ZCARD', ready[line]))
  if not limited() then return math.min(MOST, n * size) end
  return math.min(MOST, math.floor(n * size * mean_weight(line, size) / weight_of(key)))
end

local function rate_wait(resource, before)
  local l = limiting.of(resource)
  if not l or l.rate <= 0 then return 0 end
  return math.ceil((before + 1 - limiting.tokens(resource)) * 1000 / l.rate)
end

local function rates_wait(ahead, before, resources)
  local longest = math.max(0, rate_wait('t', ahead))
  for _, resource in ipairs(resources) do
    longest = math.max(longest, rate_wait(resource, before))
  end
  return math.min(LONGEST, longest)
end

-- Returns ahead, before, rate_ms.
function position.of(id, line)
  local rank = call('ZRANK', ready[line], id)
  if not limiting or gated == 0 then return rank or 0, 0, 0 end
  local entry = (not rank or limited()) and call('HGET', gate_flows, id)
  local flow = entry and key_tags.flow_of(entry)
  local of = flow and key_tags.limited_parts_of(flow)
  if not of then return rank or 0, 0, 0 end
  local ahead, before = rank, 0
  if not rank then
    before = call('ZLEXCOUNT', gate_keyed, '[' .. flow, '(' .. entry .. id)
    ahead = starts_for(line, of.key, before + 1)
  end
  if not limited() then return ahead, 0, 0 end
  local state = not rank and call('HGET', gate_states, flow)
  if state and sbyte(state) == 61 then before = before + 1 end -- its first one stands in the line
  return ahead, before, rates_wait(ahead, before, of.resources)
end

-- The same for the next job that starts of a key with a limit.
function position.of_key(key, line)
  local ahead = starts_for(line, key, 1)
  return ahead, 0, rates_wait(ahead, 0, {'k' .. key})
end

return position
