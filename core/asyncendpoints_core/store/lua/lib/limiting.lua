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
local limit_of, running, bucket_of = {}, {}, {}
local unwritten = {} -- how many more run than Redis has it, by resource
local none, of_every_key, configured

-- Whether nothing is limited or paused.
function limiting.none()
  if none == nil then none = call('HLEN', gate_limits) == 0 end
  return none and not next(paused_resources)
end

-- A limit as it is stored; as the policy has it when that cannot be read.
local function read(resource, packed)
  local l = limits.read(packed)
  if l then return l end
  configured = configured or limits.read_all(call('HGET', meta, 'limits') or '')
  return configured[resource] or false
end

-- Reads the limits of resources, and their tokens: every key but '' has the limit of all keys.
function limiting.load(resources)
  if none == nil then none = call('HLEN', gate_limits) == 0 end
  local wanted, with_tokens = {}, {}
  for _, resource in ipairs(resources) do
    if limit_of[resource] == nil then
      limit_of[resource] = false
      if resource ~= 'k' then wanted[#wanted + 1] = resource end
    end
  end
  if none or #wanted == 0 then return end
  if of_every_key == nil then
    local packed = call('HGET', gate_limits, 'k')
    of_every_key = packed and read('k', packed) or false
  end
  for i, packed in ipairs(call('HMGET', gate_limits, unpack(wanted))) do
    local resource = wanted[i]
    local l = packed and read(resource, packed) or sbyte(resource) == 107 and of_every_key
    limit_of[resource] = l
    if l and l.rate > 0 then with_tokens[#with_tokens + 1] = resource end
  end
  if #with_tokens == 0 then return end
  for i, stored in ipairs(call('HMGET', gate_buckets, unpack(with_tokens))) do
    local resource = with_tokens[i]
    bucket_of[resource] = limiting.refill(resource, limit_of[resource], stored)
  end
end

-- The limit of a resource, false without one.
function limiting.of(resource)
  if limit_of[resource] == nil then limiting.load({resource}) end
  return limit_of[resource]
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
  limiting.of(resource)
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
