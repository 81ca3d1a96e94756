-- Flows, and where their keys stand among each other: V of each priority, and the last finish of each
-- key in it. docs/adr/0014-fair-shares-and-limits.md
-- LIB: limiting gate_data
local key_tags = {}
local to = gate_data.collect('HSET', 'HDEL', gate_tags)
local known, moved, parts = {}, {}, {}

-- The key, priority and name of a flow, and what limits of its own it has.
function key_tags.parts_of(flow)
  local found = parts[flow]
  if not found then
    local at = string.find(flow, '\0', 1, true)
    local key, name = ssub(flow, 1, at - 1), ssub(flow, at + 2, -2)
    found = {key = key, priority = sbyte(flow, at + 1) - 48, name = name}
    found.resources = {'k' .. key, 'j' .. name}
    found.v, found.finish = 'v' .. found.priority, found.priority .. key
    parts[flow] = found
  end
  return found
end

-- The flow of a place in it.
function key_tags.flow_of(place)
  return ssub(place, 1, -7)
end

function key_tags.load(names)
  local wanted = {}
  for _, name in ipairs(names) do
    if not known[name] then wanted[#wanted + 1] = name end
  end
  if #wanted == 0 then return end
  for i, value in ipairs(call('HMGET', gate_tags, unpack(wanted))) do
    known[wanted[i]] = tonumber(value or 0)
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

-- A job of a flow starts: its key moves on, and V with it.
function key_tags.start(of, score, weight)
  known[of.v] = math.max(key_tags.get(of.v), score)
  known[of.finish] = math.max(key_tags.of(of), score) + 1 / weight
  moved[of.v], moved[of.finish] = true, true
end

gate_data.on_write(function()
  for name in pairs(moved) do to[name] = string.format('%.17g', known[name]) end
  moved = {}
end)

-- Forgets the tags that say no more than V does, some at a time.
function key_tags.forget()
  local found = call('HSCAN', gate_tags, call('HGET', gate_cursors, 'tags') or '0', 'COUNT',
    limiting.BOUND)
  call('HSET', gate_cursors, 'tags', found[1])
  for i = 1, #found[2], 2 do
    local name = found[2][i]
    local line = sbyte(name) - 48
    if line >= 0 and line <= 2 and tonumber(found[2][i + 1]) <= key_tags.get('v' .. line) then
      call('HDEL', gate_tags, name)
    end
  end
end

return key_tags
