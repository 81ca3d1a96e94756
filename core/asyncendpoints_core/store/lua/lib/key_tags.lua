-- Flows, and where their keys stand among each other: V of each priority, and the last finish of each
-- key in it. docs/adr/0014-fair-shares-and-limits.md
-- LIB: gate_data
-- LAZY:
local key_tags = {}
local known, moved, parts = {}, {}, {}
key_tags.known = known

local V, DIGITS = {[0] = 'v0', 'v1', 'v2'}, {[0] = '0', '1', '2'}
local EXACT = 2 ^ 53 -- larger tags would not differ by 1

-- The key and the priority of a flow, and the names of its tags; nil when it is no flow.
function key_tags.parts_of(flow)
  local found = parts[flow]
  if not found then
    local key, digit = string.match(flow, '^([^%z]*)%z([012])[^%z]*%z$')
    if not key then return nil end
    local priority = sbyte(digit) - 48
    found = {
      key = key, priority = priority, v = V[priority], finish = DIGITS[priority] .. key,
      name = false, resources = false,
    }
    parts[flow] = found
  end
  return found
end

-- The same with its name, and what limits of its own it has.
function key_tags.limited_parts_of(flow)
  local found = key_tags.parts_of(flow)
  if found and not found.name then
    found.name = ssub(flow, #found.key + 3, -2)
    found.resources = {'k' .. found.key, 'j' .. found.name}
  end
  return found
end

-- The flow of an entry of `gate:flows`.
function key_tags.flow_of(entry)
  return ssub(entry, 1, -layout.FLOW_END.size - 1)
end

-- For a tag that cannot be read: a key has none then, and V goes on behind all tags that a job got so far.
local function lost(name)
  return sbyte(name) == 118 and tonumber(call('HGET', meta, 'seq')) or 0
end

function key_tags.load(names)
  local wanted, n = {}, 0
  for i = 1, #names do
    local name = names[i]
    if not known[name] then
      n = n + 1
      wanted[n] = name
    end
  end
  if n == 0 then return end
  local values = call('HMGET', gate_tags, unpack(wanted))
  for i = 1, n do
    local tag = tonumber(values[i] or 0)
    known[wanted[i]] = tag and tag < EXACT and tag or lost(wanted[i])
  end
end

function key_tags.get(name)
  if not known[name] then key_tags.load({name}) end
  return known[name]
end

-- The tag of a flow's key.
function key_tags.of(of)
  return math.max(key_tags.get(of.v), key_tags.get(of.finish))
end

-- A job of a flow starts: its key moves on, and V with it. Returns where its next job stands.
function key_tags.start(of, score, weight)
  local v, finish = known[of.v] or key_tags.get(of.v), known[of.finish] or key_tags.get(of.finish)
  if score > v then
    v, known[of.v], moved[of.v] = score, score, true
  end
  finish = (finish > v and finish or v) + 1 / weight
  known[of.finish], moved[of.finish] = finish, true
  return finish
end

-- The same for `n` jobs, one behind the other.
function key_tags.start_all(of, score, weight, n)
  score = key_tags.start(of, score, weight)
  if n == 1 then return score end
  for _ = 3, n do score = score + 1 / weight end
  return key_tags.start(of, score, weight)
end

gate_data.on_write(function()
  local on, n = {}, 0
  for name in pairs(moved) do
    on[n + 1], on[n + 2] = name, gate_data.text(known[name])
    n = n + 2
  end
  gate_data.send('HSET', gate_tags, on, n)
  moved = {}
end)

return key_tags
