-- Limits: what they let start now. A resource is t (total), j and a job's name, or k and a
-- key. docs/adr/0014-fair-shares-and-limits.md
-- LIB: record pauses
local limiting = {BOUND = 100}
local EPSILON = 1e-9
-- What is held back as a whole: the jobs of names that are paused.
local paused_resources = {}
for name in pairs(pauses.stopped) do paused_resources['j' .. name] = true end
local limit_of, running, bucket_of = {}, {}, {}

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

-- Notes that one more runs, or one less; nil: counts all anew.
function limiting.changed(resource, by)
  if not resource then
    running = {}
  elseif running[resource] then
    running[resource] = running[resource] + by
  end
end

function limiting.refill(resource, l, stored)
  local b = {tokens = l.burst, at = now}
  if stored then b.tokens, b.at = sunpack('>dI6', stored) end
  b.tokens = math.min(l.burst, b.tokens + math.max(0, now - b.at) * l.rate / 1000)
  b.at = now
  return b
end

function limiting.bucket(resource, l)
  bucket_of[resource] = bucket_of[resource]
    or limiting.refill(resource, l, call('HGET', gate_buckets, resource))
  return bucket_of[resource]
end

-- How many jobs the limit of a resource lets start now, up to `most`.
function limiting.room(resource, most)
  local l = limiting.of(resource)
  if paused_resources[resource] then return 0 end
  if not l then return most end
  local free = most
  if l.concurrency > 0 then free = math.min(free, l.concurrency - used(resource)) end
  if l.rate > 0 then free = math.min(free, floor(limiting.bucket(resource, l).tokens + EPSILON)) end
  return math.max(0, free)
end

-- p: it is paused, c: its places are taken, r: its rate is reached; nil when it lets a job start.
function limiting.full(resource)
  if paused_resources[resource] then return 'p' end
  local l = limiting.of(resource)
  if not l then return nil end
  if l.concurrency > 0 and used(resource) >= l.concurrency then return 'c' end
  return l.rate > 0 and limiting.bucket(resource, l).tokens + EPSILON < 1 and 'r' or nil
end

-- When the next token of a resource is there.
function limiting.token_at(resource)
  local l = limiting.of(resource)
  if not l or l.rate <= 0 then return now end
  return now + math.ceil((1 - limiting.bucket(resource, l).tokens) * 1000 / l.rate)
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
