-- Limits: the places of running jobs and the tokens of each resource, which is t (total), j and a job's
-- name, or k and a key. docs/adr/0014-fair-shares-and-limits.md
-- LIB: record pauses
local limiting = {BOUND = 100, freed = 0, opened = {}}
local EPSILON = 1e-9
-- What is held back as a whole: the jobs of names that are paused.
local paused_resources = {}
for name in pairs(pauses.stopped) do paused_resources['j' .. name] = true end
local limit_of, running, bucket_of, spent = {}, {}, {}, {}

-- The limit of a resource, false without one: every key but '' has that of all keys.
function limiting.of(resource)
  if limit_of[resource] == nil then
    local packed = call('HGET', gate_limits, resource)
    if not packed and sbyte(resource) == 107 then packed = call('HGET', gate_limits, 'k') end
    limit_of[resource] = resource ~= 'k' and packed and cmsgpack.unpack(packed) or false
  end
  return limit_of[resource]
end

local function used(resource)
  running[resource] = running[resource] or (resource == 't' and call('HLEN', gate_places)
    or call('ZLEXCOUNT', gate_usage, '[' .. resource .. '\0', '(' .. resource .. '\1'))
  return running[resource]
end

local function refill(resource, l, stored)
  local b = {tokens = l.burst, at = now}
  if stored then b.tokens, b.at = sunpack('>dI6', stored) end
  b.tokens = math.min(l.burst, b.tokens + math.max(0, now - b.at) * l.rate / 1000)
  b.at = now
  return b
end

local function bucket(resource, l)
  bucket_of[resource] = bucket_of[resource]
    or refill(resource, l, call('HGET', gate_buckets, resource))
  return bucket_of[resource]
end

-- How many jobs the limit of a resource lets start now, up to `most`.
function limiting.room(resource, most)
  local l = limiting.of(resource)
  if paused_resources[resource] then return 0 end
  if not l then return most end
  local free = most
  if l.concurrency > 0 then free = math.min(free, l.concurrency - used(resource)) end
  if l.rate > 0 then free = math.min(free, floor(bucket(resource, l).tokens + EPSILON)) end
  return math.max(0, free)
end

-- p: it is paused, c: its places are taken, r: its rate is reached; nil when it lets a job start.
function limiting.full(resource)
  if paused_resources[resource] then return 'p' end
  local l = limiting.of(resource)
  if not l then return nil end
  if l.concurrency > 0 and used(resource) >= l.concurrency then return 'c' end
  return l.rate > 0 and bucket(resource, l).tokens + EPSILON < 1 and 'r' or nil
end

-- When the next token of a resource is there.
function limiting.token_at(resource)
  local l = limiting.of(resource)
  if not l or l.rate <= 0 then return now end
  return now + math.ceil((1 - bucket(resource, l).tokens) * 1000 / l.rate)
end

-- The key and the name of a job; nil when they cannot be read.
function limiting.of_job(id)
  local job = call('HGET', jobs, id)
  local r = job and record.decode_job(job)
  if not r then return nil end
  local carried = record.attributes(job)
  return carried and carried.key or '', r.name
end

local function resources(key, name)
  return {'t', 'j' .. name, key ~= '' and 'k' .. key or nil}
end

local function resources_of_place(place)
  local at = string.find(place, '\0', 1, true)
  return resources(ssub(place, 1, at - 1), ssub(place, at + 1))
end

local function take(id, key, name, with_tokens)
  call('HSET', gate_places, id, key .. '\0' .. name)
  for _, resource in ipairs(resources(key, name)) do
    if running[resource] then running[resource] = running[resource] + 1 end
    if resource ~= 't' then call('ZADD', gate_usage, 0, resource .. '\0' .. id) end
    local l = with_tokens and limiting.of(resource)
    if l and l.rate > 0 then
      local b = bucket(resource, l)
      b.tokens, spent[resource] = b.tokens - 1, true
    end
  end
end

-- Gives a job that starts its places and takes its tokens.
function limiting.book(id)
  local key, name = limiting.of_job(id)
  if not key then return nil end
  take(id, key, name, true)
  return key
end

-- A job does not run any more: its places are free.
function limiting.free(id)
  local place = call('HGET', gate_places, id)
  if not place or call('HDEL', gate_places, id) == 0 then return end
  for _, resource in ipairs(resources_of_place(place)) do
    if running[resource] then running[resource] = running[resource] - 1 end
    if resource ~= 't' then call('ZREM', gate_usage, resource .. '\0' .. id) end
    limiting.opened[resource] = true
  end
  limiting.freed = limiting.freed + 1
end

function limiting.write_tokens()
  for resource in pairs(spent) do
    local b = bucket_of[resource]
    call('HSET', gate_buckets, resource, spack('>dI6', b.tokens, b.at))
  end
  spent = {}
end

local function next_of(key, cursor)
  local found = call('HSCAN', key, call('HGET', gate_cursors, cursor) or '0', 'COUNT', limiting.BOUND)
  call('HSET', gate_cursors, cursor, found[1])
  return found[2]
end

-- Forgets buckets that are full again, as those are that were never used.
function limiting.forget()
  local found = next_of(gate_buckets, 'buckets')
  for i = 1, #found, 2 do
    local l = limiting.of(found[i])
    if not l or l.rate <= 0 or refill(found[i], l, found[i + 1]).tokens >= l.burst then
      call('HDEL', gate_buckets, found[i])
    end
  end
end

-- Compares some places with the jobs that run, and repairs what differs: nothing does, unless a script
-- was ended half-way.
function limiting.repair()
  local found = next_of(gate_places, 'places')
  for i = 1, #found, 2 do
    local id, run = found[i], call('HGET', runs, found[i])
    local r, why
    if run then r, why = record.decode_run(run) end
    if not run or r and r.state ~= IN_PROGRESS then
      limiting.free(id)
    elseif not why then
      for _, resource in ipairs(resources_of_place(found[i + 1])) do
        if resource ~= 't' then call('ZADD', gate_usage, 0, resource .. '\0' .. id) end
      end
    end
  end
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
  for _, member in ipairs(following(gate_usage, 'usage', '-')) do
    if call('HEXISTS', gate_places, ssub(member, -layout.IDS.size)) == 0 then
      call('ZREM', gate_usage, member)
    end
  end
  running = {}
end

return limiting
