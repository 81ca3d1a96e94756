-- The places of running jobs and the tokens of rates: taking and freeing them.
-- Places are kept only while there is a limit of concurrency: COUNTING.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: limiting key_depth gate_data
-- LAZY:
local taken_places = {}
local freed, opened = 0, {}
local places = gate_data.hash(gate_places)
local usage = gate_data.collect('ZADD', 'ZREM', gate_usage)
local buckets = gate_data.collect('HSET', 'HDEL', gate_buckets)
local spent = {}
local COUNTING = gated == 1

local function resources(key, name)
  return {'t', 'j' .. name, key ~= '' and 'k' .. key or nil}
end

-- Of a job's place; by its record when that cannot be read.
local function resources_of_place(id, place)
  local at = string.find(place, '\0', 1, true)
  if at then return resources(ssub(place, 1, at - 1), ssub(place, at + 1)) end
  local key, name = limiting.of_job(id)
  return resources(key or '', name or '')
end

-- Whether the running jobs of a resource are counted one by one.
local function in_usage(resource)
  local l = resource ~= 't' and limiting.of(resource)
  return l and l.concurrency > 0
end

local function take(id, key, name, with_tokens)
  if COUNTING then places.set(id, key .. '\0' .. name) end
  for _, resource in ipairs(resources(key, name)) do
    local l = limiting.of(resource)
    limiting.changed(resource, 1)
    if in_usage(resource) then usage[resource .. '\0' .. id] = 0 end
    if l and with_tokens and l.rate > 0 then
      local b = limiting.bucket(resource)
      b.tokens, spent[resource] = b.tokens - 1, b
    end
  end
end

-- Gives a job that starts its places and takes its tokens.
function taken_places.book(id, key, name)
  take(id, key, name, true)
  key_depth.remove(id, key)
end

-- Reads the places of jobs that end.
function taken_places.load(ids)
  if COUNTING then places.load(ids) end
end

-- A job does not run any more: its places are free.
function taken_places.free(id)
  local place = COUNTING and places.get(id)
  if not place then return end
  places.set(id, false)
  for _, resource in ipairs(resources_of_place(id, place)) do
    limiting.changed(resource, -1)
    if in_usage(resource) then usage[resource .. '\0' .. id] = false end
    opened[resource] = true
  end
  freed = freed + 1
end

-- Returns which resources had places freed since the last call, and how many jobs freed theirs.
function taken_places.read_freed()
  local resources_freed, jobs_freed = opened, freed
  opened, freed = {}, 0
  return resources_freed, jobs_freed
end

gate_data.on_write(function()
  for resource, b in pairs(spent) do buckets[resource] = spack('>dI6', b.tokens, b.at) end
  spent = {}
end)

-- Gives a running job the place that its record says, where `place` is another.
function taken_places.repair(id, place)
  local key, name = limiting.of_job(id)
  if not key then return end
  local right = key .. '\0' .. name
  if place ~= right then call('HSET', gate_places, id, right) end
  for _, resource in ipairs(resources(key, name)) do
    if in_usage(resource) then usage[resource .. '\0' .. id] = 0 end
  end
end

taken_places.take = take

return taken_places
