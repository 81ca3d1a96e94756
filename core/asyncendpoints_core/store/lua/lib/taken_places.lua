-- The places of running jobs and the tokens of rates: taking, freeing, repairing and forgetting them.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: record limiting key_depth gate_data
local taken_places = {freed = 0, opened = {}}
local places = gate_data.hash(gate_places)
local usage = gate_data.collect('ZADD', 'ZREM', gate_usage)
local buckets = gate_data.collect('HSET', 'HDEL', gate_buckets)
local spent = {}

local function resources(key, name)
  return {'t', 'j' .. name, key ~= '' and 'k' .. key or nil}
end

local function resources_of_place(place)
  local at = string.find(place, '\0', 1, true)
  return resources(ssub(place, 1, at - 1), ssub(place, at + 1))
end

local function take(id, key, name, with_tokens)
  places.set(id, key .. '\0' .. name)
  for _, resource in ipairs(resources(key, name)) do
    limiting.changed(resource, 1)
    if resource ~= 't' then usage[resource .. '\0' .. id] = 0 end
    local l = with_tokens and limiting.of(resource)
    if l and l.rate > 0 then
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
taken_places.load = places.load

-- A job does not run any more: its places are free.
function taken_places.free(id)
  local place = places.get(id)
  if not place then return end
  places.set(id, false)
  for _, resource in ipairs(resources_of_place(place)) do
    limiting.changed(resource, -1)
    if resource ~= 't' then usage[resource .. '\0' .. id] = false end
    taken_places.opened[resource] = true
  end
  taken_places.freed = taken_places.freed + 1
end

gate_data.on_write(function()
  for resource, b in pairs(spent) do buckets[resource] = spack('>dI6', b.tokens, b.at) end
  spent = {}
end)

local function next_of(key, cursor)
  local found = call('HSCAN', key, call('HGET', gate_cursors, cursor) or '0', 'COUNT', limiting.BOUND)
  call('HSET', gate_cursors, cursor, found[1])
  return found[2]
end

-- Forgets buckets that are full again, as those are that were never used.
function taken_places.forget()
  local found = next_of(gate_buckets, 'buckets')
  for i = 1, #found, 2 do
    local l = limiting.of(found[i])
    if not l or l.rate <= 0 or limiting.refill(found[i], l, found[i + 1]).tokens >= l.burst then
      call('HDEL', gate_buckets, found[i])
    end
  end
end

-- Compares some places with the jobs that run, and repairs what differs: nothing does, unless a script
-- was ended half-way.
function taken_places.repair()
  local found = next_of(gate_places, 'places')
  for i = 1, #found, 2 do
    local id, run = found[i], call('HGET', runs, found[i])
    local r, why
    if run then r, why = record.decode_run(run) end
    if not run or r and r.state ~= IN_PROGRESS then
      taken_places.free(id)
    elseif not why then
      for _, resource in ipairs(resources_of_place(found[i + 1])) do
        if resource ~= 't' then usage[resource .. '\0' .. id] = 0 end
      end
    end
  end
  gate_data.write()
  local function following(key, cursor, first)
    local from = call('HGET', gate_cursors, cursor)
    local members = call('ZRANGEBYLEX', key, from and '(' .. from or first, '+', 'LIMIT', 0,
      limiting.BOUND)
    if #members < limiting.BOUND then
      call('HDEL', gate_cursors, cursor)
    else
      call('HSET', gate_cursors, cursor, members[#members])
    end
    return members
  end
  for _, member in ipairs(following(held, 'held', '[\1')) do
    local id = record.held_id(member)
    if call('HEXISTS', gate_places, id) == 0 then
      local key, name = limiting.of_job(id)
      if key then take(id, key, name, false) end
    end
  end
  gate_data.write()
  for _, member in ipairs(following(gate_usage, 'usage', '-')) do
    if call('HEXISTS', gate_places, ssub(member, -layout.IDS.size)) == 0 then
      call('ZREM', gate_usage, member)
    end
  end
  for _, member in ipairs(following(gate_waiting, 'waiting', '-')) do
    local id = ssub(member, -layout.IDS.size)
    local job = call('HGET', jobs, id)
    local r, why
    if job then r, why = record.decode(job, call('HGET', runs, id)) end
    if not job or why == 'corrupt' or r and r.state ~= QUEUED and r.state ~= SCHEDULED then
      call('ZREM', gate_waiting, member)
    end
  end
  limiting.count_again()
end

return taken_places
