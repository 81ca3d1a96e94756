-- The places of running jobs and the tokens of rates: taking and freeing them.
-- Places are kept only while there is a limit of concurrency: COUNTING.
-- docs/adr/0014-fair-shares-and-limits.md
-- LIB: limiting key_depth gate_data
-- LAZY:
local taken_places = {}
local freed, left = 0, {} -- how many ended, and the places of these
local places = gate_data.hash(gate_places)
local usage = gate_data.collect('ZADD', 'ZREM', gate_usage)
local send, spend = gate_data.send, limiting.spend
local of_names = {}
local booked, begun = 0, false
local COUNTING = gated == 1
local find = string.find
local LONG = string.rep('-', 65)

-- How the members of `gate:usage` begin for a limit whose running jobs are counted one by one.
local function counted(resource, l)
  return l and l.concurrency > 0 and resource .. '\0'
end

local function of_name(name)
  local found = of_names[name]
  if not found then
    local resource = 'j' .. name
    found = {resource, counted(resource, limiting.of(resource))}
    of_names[name] = found
  end
  return found
end

-- The key and the name of a job in a place, and the place; by its record when that cannot be read.
local function read_place(id, place)
  local at = find(place, '\0', 1, true)
  if at then return ssub(place, 1, at - 1), ssub(place, at + 1), place end
  local key, name = limiting.of_job(id)
  key, name = key or '', name or ''
  return key, name, key .. '\0' .. name
end

-- How the members of `gate:usage` begin for the key and for the name of a job.
local function members(key, name)
  local l = limiting.of_key(key)
  return l and l.concurrency > 0 and 'k' .. key .. '\0', of_name(name)[2]
end

local function change(id, key, name, by, score)
  limiting.changed('t', by)
  if key ~= '' then limiting.changed('k' .. key, by) end
  limiting.changed('j' .. name, by)
  local of_key, of_named = members(key, name)
  if of_key then usage[of_key .. id] = score end
  if of_named then usage[of_named .. id] = score end
end

-- Gives a running job its places.
function taken_places.take(id, key, name)
  if COUNTING then places.set(id, key .. '\0' .. name) end
  change(id, key, name, 1, '0')
end

-- Gives a job that starts its places and takes its tokens.
function taken_places.book(id, key, name)
  booked = booked + 1
  taken_places.take(id, key, name)
  if key ~= '' then spend('k' .. key, 1) end
  spend('j' .. name, 1)
  spend('t', 1)
  key_depth.remove(id, key)
end

-- Up to 512 fields or 128 members are a packed list, which is searched from its head. One of over 64
-- bytes makes it a table and a skip list, and that they stay until they are empty. Returns whether it has
-- put one there, to remove once there are others.
local function begin_tables()
  if begun or not COUNTING then return false end
  begun = true
  if call('HLEN', gate_places) > 0 then return false end
  call('HSET', gate_places, LONG, '')
  call('ZADD', gate_usage, '0', LONG)
  return true
end

-- The same as `book` for many jobs: `limits` and `rated` are those of the keys.
function taken_places.book_all(ids, keys, names, limits_of, rated, n)
  local on_places, on_usage, m, of_each = {}, {}, 0, {}
  local last, of
  for i = 1, n do
    local id, key, name, l = ids[i], keys[i], names[i], limits_of[i]
    on_places[2 * i - 1], on_places[2 * i] = id, key .. '\0' .. name
    if name ~= last then last, of = name, of_name(name) end
    if of[2] then
      on_usage[m + 1], on_usage[m + 2] = '0', of[2] .. id
      m = m + 2
    end
    of_each[of[1]] = (of_each[of[1]] or 0) + 1
    if l then
      if l.concurrency > 0 then
        on_usage[m + 1], on_usage[m + 2] = '0', 'k' .. key .. '\0' .. id
        m = m + 2
      end
      if rated[i] then spend(rated[i], 1) end
      if l.depth > 0 then key_depth.remove(id, key) end
    end
  end
  for resource, count in pairs(of_each) do spend(resource, count) end
  spend('t', n)
  if COUNTING then
    local long = n > 2 and begin_tables()
    send('HSET', gate_places, on_places, 2 * n)
    send('ZADD', gate_usage, on_usage, m)
    if long then
      call('HDEL', gate_places, LONG)
      call('ZREM', gate_usage, LONG)
    end
  end
  limiting.count_again()
end

-- The same for jobs of one key and name.
function taken_places.book_flow(ids, key, name, n)
  local keys, names, limits_of, rated = {}, {}, {}, {}
  local l = limiting.of_key(key)
  local resource = l and l.rate > 0 and 'k' .. key
  for i = 1, n do keys[i], names[i], limits_of[i], rated[i] = key, name, l, resource end
  taken_places.book_all(ids, keys, names, limits_of, rated, n)
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
  local key, name, right = read_place(id, place)
  change(id, key, name, -1, false)
  freed, left[right] = freed + 1, true
end

-- Reads the limits of the keys of places.
local function load_limits(ids, n)
  if limiting.expect(n) then return end
  local wanted = {}
  for i = 1, n do
    local place = places.get(ids[i])
    if place then wanted[#wanted + 1] = 'k' .. (read_place(ids[i], place)) end
  end
  limiting.load(wanted)
end

-- The same for many jobs.
function taken_places.free_all(ids, n)
  local off_places, off_usage, count, m = {}, {}, 0, 0
  local last, key, name, of_key, of_named
  load_limits(ids, n)
  for i = 1, n do
    local id = ids[i]
    local place = places.get(id)
    if place then
      if place ~= last then
        key, name, last = read_place(id, place)
        of_key, of_named = members(key, name)
        left[last] = true
      end
      count = count + 1
      off_places[count] = id
      if of_key then
        m = m + 1
        off_usage[m] = of_key .. id
      end
      if of_named then
        m = m + 1
        off_usage[m] = of_named .. id
      end
    end
  end
  freed = freed + count
  places.remove(off_places)
  send('ZREM', gate_usage, off_usage, m)
  limiting.count_again()
end

-- Returns how many jobs freed their places since the last call.
function taken_places.freed()
  local n = freed
  freed = 0
  return n
end

-- Returns which resources these were of.
function taken_places.opened()
  local found = {t = true}
  for place in pairs(left) do
    local key, name = read_place('', place)
    if key ~= '' then found['k' .. key] = true end
    found['j' .. name] = true
  end
  left = {}
  return found
end

local function write_buckets()
  local on, n = {}, 0
  for resource, tokens in pairs(limiting.read_spent()) do
    on[n + 1], on[n + 2] = resource, spack('>dI6', tokens, now)
    n = n + 2
  end
  local long = n > 4 and call('HLEN', gate_buckets) == 0
  if long then call('HSET', gate_buckets, LONG, '') end
  send('HSET', gate_buckets, on, n)
  if long then call('HDEL', gate_buckets, LONG) end
end

gate_data.on_write(function()
  if booked > 2 and begin_tables() then
    places.set(LONG, false)
    usage[LONG] = false
  end
  write_buckets()
end)

-- Gives a running job the place that its record says, where `place` is another.
function taken_places.repair(id, place)
  local key, name = limiting.of_job(id)
  if not key then return end
  local right = key .. '\0' .. name
  if place ~= right then call('HSET', gate_places, id, right) end
  change(id, key, name, 0, '0')
end

return taken_places
