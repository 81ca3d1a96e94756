-- Limits: what they let start now. A resource is t (total), j and a job's name, or k and a
-- key. docs/adr/0014-fair-shares-and-limits.md
-- LIB: record pauses gate_data limits
-- LAZY:
local limiting = {BOUND = 100}
local EPSILON = 1e-9
local BUCKET = 14 -- bytes
local AHEAD_MS = 60000 -- no clock is so far behind that which wrote a bucket
-- What is held back as a whole: the jobs of names that are paused.
local paused_resources = {}
for name in pairs(pauses.stopped) do paused_resources['j' .. name] = true end
local limit_of, running, tokens_of, spent = {k = false}, {}, {}, {}
local unwritten = {} -- how many more run than Redis has it, by resource
local count, all, of_every_key, configured -- how many limits there are; those that were read at once
local uniform -- all were read, and no key has a limit of its own

-- Whether nothing is limited or paused.
function limiting.none()
  count = count or call('HLEN', gate_limits)
  return count == 0 and not next(paused_resources)
end

-- A limit as it is stored; as the policy has it when that cannot be read.
local function read(resource, packed)
  local l = limits.read(packed)
  if l then return l end
  configured = configured or limits.read_all(call('HGET', meta, 'limits') or '')
  return configured[resource] or false
end

local function note(resource, packed)
  local l = packed and read(resource, packed) or sbyte(resource) == 107 and of_every_key
  limit_of[resource] = l
  return l
end

-- Reads all limits where these are not more than the `n` that are wanted. Returns whether it has them,
-- and all keys have the same.
function limiting.expect(n)
  count = count or call('HLEN', gate_limits)
  if all or count == 0 or count > n then return uniform or count == 0 end
  local stored = call('HGETALL', gate_limits)
  all, uniform = {}, true
  for i = 1, #stored, 2 do
    local resource = stored[i]
    all[resource] = stored[i + 1]
    if sbyte(resource) == 107 and resource ~= 'k' then uniform = false end
  end
  of_every_key = all.k and read('k', all.k) or false
  return uniform
end

-- Reads the limits of resources: every key but '' has the limit of all keys.
function limiting.load(resources)
  limiting.expect(#resources)
  if all or count == 0 then return end
  local wanted, n = {}, 0
  for i = 1, #resources do
    local resource = resources[i]
    if limit_of[resource] == nil then
      n = n + 1
      wanted[n], limit_of[resource] = resource, false
    end
  end
  if n == 0 then return end
  if of_every_key == nil then wanted[n + 1] = 'k' end
  local stored = call('HMGET', gate_limits, unpack(wanted))
  if of_every_key == nil then
    local packed = stored[n + 1]
    of_every_key = packed and read('k', packed) or false
  end
  for i = 1, n do note(wanted[i], stored[i]) end
end

-- The limit of a resource, false without one.
function limiting.of(resource)
  local l = limit_of[resource]
  if l ~= nil then return l end
  limiting.load({resource})
  if all then return note(resource, all[resource]) end
  return limit_of[resource] or false
end

-- The limit of a key.
function limiting.of_key(key)
  if key == '' then return false end
  if uniform then return of_every_key end
  return limiting.of('k' .. key)
end

-- Reads the limits of resources, and the tokens of those that have a rate.
function limiting.load_tokens(resources)
  limiting.load(resources)
  if count == 0 then return end
  local wanted, limits_of, seen, n = {}, {}, {}, 0
  for i = 1, #resources do
    local resource = resources[i]
    local l = tokens_of[resource] == nil and not seen[resource] and limiting.of(resource)
    if l and l.rate > 0 then
      n, seen[resource] = n + 1, true
      wanted[n], limits_of[n] = resource, l
    end
  end
  if n == 0 then return end
  local stored = call('HMGET', gate_buckets, unpack(wanted))
  for i = 1, n do tokens_of[wanted[i]] = limiting.refill(limits_of[i], stored[i]) end
end

local function used(resource)
  running[resource] = running[resource] or (unwritten[resource] or 0) + (resource == 't'
    and call('HLEN', gate_places)
    or call('ZLEXCOUNT', gate_usage, '[' .. resource .. '\0', '(' .. resource .. '\1'))
  return running[resource]
end

-- Whether all places of a limit are taken. No resource runs more jobs than all do.
local function crowded(resource, most)
  return used('t') >= most and used(resource) >= most
end

-- Notes that one more runs, or one less.
function limiting.changed(resource, by)
  unwritten[resource] = (unwritten[resource] or 0) + by
  if running[resource] then running[resource] = running[resource] + by end
end

-- Counts again what runs.
function limiting.count_again()
  running = {}
end

gate_data.on_write(function() unwritten = {} end)

-- How many tokens there are now, by what is stored of them.
function limiting.refill(l, stored)
  local burst = l.burst
  if not stored or #stored ~= BUCKET then return burst end
  local tokens, at = sunpack('>dI6', stored)
  if at > now + AHEAD_MS then return burst end
  if not (tokens > 0) then tokens = 0 end
  if now > at then tokens = tokens + (now - at) * l.rate / 1000 end
  return tokens < burst and tokens or burst
end

-- The tokens of a resource whose limit has a rate.
function limiting.tokens(resource)
  if not tokens_of[resource] then limiting.load_tokens({resource}) end
  return tokens_of[resource]
end

-- Jobs start that take tokens of a resource, if its limit has a rate.
function limiting.spend(resource, n)
  local l = limiting.of(resource)
  if l and l.rate > 0 then
    local tokens = limiting.tokens(resource) - n
    tokens_of[resource], spent[resource] = tokens, tokens
  end
end

-- Returns the tokens of the resources that had some taken since the last call.
function limiting.read_spent()
  local found = spent
  spent = {}
  return found
end

-- How many jobs the limit of a resource lets start now, up to `most`.
function limiting.room(resource, most)
  local l = limiting.of(resource)
  if paused_resources[resource] then return 0 end
  if not l then return most end
  local free = most
  if l.concurrency > 0 then free = math.min(free, l.concurrency - used(resource)) end
  if l.rate > 0 then free = math.min(free, floor(limiting.tokens(resource) + EPSILON)) end
  return math.max(0, free)
end

-- Whether `n` jobs may start that the total limits, and these resources.
function limiting.allow(resources, n)
  for i = 1, #resources do
    if limiting.room(resources[i], n) < n then return false end
  end
  return limiting.room('t', n) == n
end

-- Whether a job of each of some keys may start, by the limits of the keys: `limits_of` has these.
-- Returns what each takes tokens of; false when one may not.
function limiting.allow_each(keys, limits_of, n)
  local rated, some = {}, {}
  for i = 1, n do
    local l = limits_of[i]
    if l and l.rate > 0 then
      rated[i] = 'k' .. keys[i]
      some[#some + 1] = rated[i]
    end
  end
  if some[1] then limiting.load_tokens(some) end
  for i = 1, n do
    local l, resource = limits_of[i], rated[i]
    if l and l.concurrency > 0 and used('t') >= l.concurrency and limiting.full('k' .. keys[i])
      or resource and tokens_of[resource] + EPSILON < 1 then return false end
  end
  return rated
end

-- p: it is paused, c: its places are taken, r: its rate is reached; nil when it lets a job start.
function limiting.full(resource)
  if paused_resources[resource] then return 'p' end
  local l = limiting.of(resource)
  if not l then return nil end
  if l.concurrency > 0 and crowded(resource, l.concurrency) then return 'c' end
  return l.rate > 0 and limiting.tokens(resource) + EPSILON < 1 and 'r' or nil
end

-- When the next token of a resource is there.
function limiting.token_at(resource)
  local l = limiting.of(resource)
  if not l or l.rate <= 0 then return now end
  return now + math.ceil((1 - limiting.tokens(resource)) * 1000 / l.rate)
end

-- The key and the name of a job; nil when they cannot be read.
function limiting.of_job(id)
  local job = call('HGET', jobs, id)
  local r = job and record.decode_job(job)
  if not r then return nil end
  local carried = record.attributes(job)
  return carried and carried.key or '', r.name
end

return limiting
