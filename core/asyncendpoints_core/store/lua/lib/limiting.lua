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
local limit_of, running, bucket_of = {k = false}, {}, {}
local unwritten = {} -- how many more run than Redis has it, by resource
local count, all, of_every_key, configured -- how many limits there are; those that were read at once

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

-- Reads the limits of resources: every key but '' has the limit of all keys. All limits are read where
-- these are not more than are wanted.
function limiting.load(resources)
  count = count or call('HLEN', gate_limits)
  if all or count == 0 then return end
  if count <= #resources then
    local stored = call('HGETALL', gate_limits)
    all = {}
    for i = 1, #stored, 2 do all[stored[i]] = stored[i + 1] end
    of_every_key = all.k and read('k', all.k) or false
    return
  end
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

-- Reads the limits of resources, and the tokens of those that have a rate.
function limiting.load_tokens(resources)
  limiting.load(resources)
  if count == 0 then return end
  local wanted, n = {}, 0
  for i = 1, #resources do
    local resource = resources[i]
    local l = limit_of[resource]
    if l == nil then l = limiting.of(resource) end
    if l and l.rate > 0 and bucket_of[resource] == nil then
      n = n + 1
      wanted[n], bucket_of[resource] = resource, false
    end
  end
  if n == 0 then return end
  local stored = call('HMGET', gate_buckets, unpack(wanted))
  for i = 1, n do
    bucket_of[wanted[i]] = limiting.refill(wanted[i], limit_of[wanted[i]], stored[i])
  end
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

-- The same of what is written already.
function limiting.started(resource, n)
  if running[resource] then running[resource] = running[resource] + n end
end

-- Counts what runs anew.
function limiting.count_again()
  running = {}
end

gate_data.on_write(function() unwritten = {} end)

function limiting.refill(resource, l, stored)
  local b = {tokens = l.burst, at = now}
  if stored and #stored == BUCKET then b.tokens, b.at = sunpack('>dI6', stored) end
  if b.at > now + AHEAD_MS then b.tokens, b.at = l.burst, now end
  b.tokens = math.min(l.burst, math.max(0, b.tokens) + math.max(0, now - b.at) * l.rate / 1000)
  b.at = now
  return b
end

-- The tokens of a resource whose limit has a rate.
function limiting.bucket(resource)
  if not bucket_of[resource] then limiting.load_tokens({resource}) end
  return bucket_of[resource]
end

-- How many jobs the limit of a resource lets start now, up to `most`.
function limiting.room(resource, most)
  local l = limiting.of(resource)
  if paused_resources[resource] then return 0 end
  if not l then return most end
  local free = most
  if l.concurrency > 0 then free = math.min(free, l.concurrency - used(resource)) end
  if l.rate > 0 then free = math.min(free, floor(limiting.bucket(resource).tokens + EPSILON)) end
  return math.max(0, free)
end

-- Whether `n` jobs may start that the total limits, and these resources.
function limiting.allow(resources, n)
  for i = 1, #resources do
    if limiting.room(resources[i], n) < n then return false end
  end
  return limiting.room('t', n) == n
end

-- p: it is paused, c: its places are taken, r: its rate is reached; nil when it lets a job start.
function limiting.full(resource)
  if paused_resources[resource] then return 'p' end
  local l = limiting.of(resource)
  if not l then return nil end
  if l.concurrency > 0 and crowded(resource, l.concurrency) then return 'c' end
  return l.rate > 0 and limiting.bucket(resource).tokens + EPSILON < 1 and 'r' or nil
end

-- When the next token of a resource is there.
function limiting.token_at(resource)
  local l = limiting.of(resource)
  if not l or l.rate <= 0 then return now end
  return now + math.ceil((1 - limiting.bucket(resource).tokens) * 1000 / l.rate)
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
