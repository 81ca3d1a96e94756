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
local send = gate_data.send
local spent, of_places, of_names = {}, {}, {}
local booked, begun = 0, false
local COUNTING = gated == 1
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

-- What jobs of a place take of: 1 the resource of its key, if it has one, 2 that of its name, 3 and 4 how
-- the members of each begin, 5 whether the key has a rate, 6 or a depth. Nil when it cannot be read.
local function parts_of(place)
  local found = of_places[place]
  if found then return found end
  local at = string.find(place, '\0', 1, true)
  if not at then return nil end
  local named, key = of_name(ssub(place, at + 1)), at > 1 and 'k' .. ssub(place, 1, at - 1)
  local l = key and limiting.of(key)
  found = {key, named[1], counted(key, l), named[2], l and l.rate > 0, l and l.depth > 0}
  of_places[place] = found
  return found
end

-- By its record when a job's place cannot be read.
local function parts_of_job(id, place)
  local of = parts_of(place)
  if of then return of end
  local key, name = limiting.of_job(id)
  return parts_of((key or '') .. '\0' .. (name or ''))
end

local function change(of, id, by, score)
  limiting.changed('t', by)
  if of[1] then limiting.changed(of[1], by) end
  limiting.changed(of[2], by)
  if of[3] then usage[of[3] .. id] = score end
  if of[4] then usage[of[4] .. id] = score end
end

local function spend(resource, n)
  local l = limiting.of(resource)
  if l and l.rate > 0 then
    local b = limiting.bucket(resource)
    b.tokens, spent[resource] = b.tokens - n, b
  end
end

-- Gives a running job its places.
function taken_places.take(id, key, name)
  local place = key .. '\0' .. name
  if COUNTING then places.set(id, place) end
  change(parts_of(place), id, 1, '0')
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

-- Up to 512 fields, or 128 members, are a packed list, which is searched from its head. One of over 64
-- bytes makes it a table and a skip list, and that they stay until they are empty.
local function begin_tables()
  if begun then return end
  begun = true
  if COUNTING and call('HLEN', gate_places) == 0 then
    call('HSET', gate_places, LONG, '')
    call('ZADD', gate_usage, '0', LONG)
    places.set(LONG, false)
    usage[LONG] = false
  end
  if next(spent) and call('HLEN', gate_buckets) == 0 then
    call('HSET', gate_buckets, LONG, '')
    buckets[LONG] = false
  end
end

-- The same as `book` for many jobs, of the same or different keys and names.
function taken_places.book_all(ids, keys, names, n)
  local on_places, on_usage, m, of_each = {}, {}, 0, {}
  local key, name, place, of
  for i = 1, n do
    local id = ids[i]
    if keys[i] ~= key or names[i] ~= name then
      key, name = keys[i], names[i]
      place = key .. '\0' .. name
      of = parts_of(place)
    end
    on_places[2 * i - 1], on_places[2 * i] = id, place
    if of[3] then
      on_usage[m + 1], on_usage[m + 2] = '0', of[3] .. id
      m = m + 2
    end
    if of[4] then
      on_usage[m + 1], on_usage[m + 2] = '0', of[4] .. id
      m = m + 2
    end
    if of[5] then spend(of[1], 1) end
    if of[6] then key_depth.remove(id, key) end
    of_each[of[2]] = (of_each[of[2]] or 0) + 1
  end
  for resource, count in pairs(of_each) do spend(resource, count) end
  spend('t', n)
  if n > 2 then begin_tables() end
  if COUNTING then
    send('HSET', gate_places, on_places, 2 * n)
    send('ZADD', gate_usage, on_usage, m)
  end
  limiting.count_again()
end

-- The same for jobs of one key and name.
function taken_places.book_flow(ids, key, name, n)
  local keys, names = {}, {}
  for i = 1, n do keys[i], names[i] = key, name end
  taken_places.book_all(ids, keys, names, n)
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
  local of = parts_of_job(id, place)
  change(of, id, -1, false)
  opened[of], freed = true, freed + 1
end

-- The same for many jobs.
function taken_places.free_all(ids)
  local off_places, off_usage, n, m = {}, {}, 0, 0
  local last, of
  for i = 1, #ids do
    local id = ids[i]
    local place = places.get(id)
    if place then
      if place ~= last then
        last, of = place, parts_of_job(id, place)
        opened[of] = true
      end
      n = n + 1
      off_places[n] = id
      if of[3] then
        m = m + 1
        off_usage[m] = of[3] .. id
      end
      if of[4] then
        m = m + 1
        off_usage[m] = of[4] .. id
      end
    end
  end
  freed = freed + n
  places.remove(off_places)
  send('ZREM', gate_usage, off_usage, m)
  limiting.count_again()
end

-- Returns which resources had places freed since the last call, and how many jobs freed theirs.
function taken_places.read_freed()
  local found, n = {}, freed
  for of in pairs(opened) do
    found.t, found[of[2]] = true, true
    if of[1] then found[of[1]] = true end
  end
  opened, freed = {}, 0
  return found, n
end

gate_data.on_write(function()
  if booked > 2 then begin_tables() end
  for resource, b in pairs(spent) do buckets[resource] = spack('>dI6', b.tokens, b.at) end
  spent = {}
end)

-- Gives a running job the place that its record says, where `place` is another.
function taken_places.repair(id, place)
  local key, name = limiting.of_job(id)
  if not key then return end
  local right = key .. '\0' .. name
  if place ~= right then call('HSET', gate_places, id, right) end
  local of = parts_of(right)
  if of[3] then usage[of[3] .. id] = '0' end
  if of[4] then usage[of[4] .. id] = '0' end
end

return taken_places
