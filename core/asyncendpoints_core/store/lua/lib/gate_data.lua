-- What the gate knows of its keys: what was read is kept, what changes is collected and sent as one
-- command a key; of each member or field the last change counts.
-- LAZY: write
local gate_data = {}
local collected, before_write = {}, {}
local AT_ONCE = 1000 -- members in one command, less than Lua can unpack

-- Changes of a key, by member or field: its score or value, false for a removal.
function gate_data.collect(add, remove, key)
  local to = {}
  collected[#collected + 1] = {add = add, remove = remove, key = key, to = to}
  return to
end

function gate_data.on_write(action)
  before_write[#before_write + 1] = action
end

function gate_data.hash(key)
  local known, to = {}, gate_data.collect('HSET', 'HDEL', key)
  local hash = {}
  function hash.get(field)
    local value = known[field]
    if value == nil then
      value = call('HGET', key, field)
      known[field] = value
    end
    return value
  end
  function hash.set(field, value)
    if known[field] ~= value then known[field], to[field] = value, value end
  end
  function hash.load(fields)
    local wanted, n = {}, 0
    for i = 1, #fields do
      local field = fields[i]
      if known[field] == nil then
        n = n + 1
        wanted[n] = field
      end
    end
    if n == 0 then return end
    local values = call('HMGET', key, unpack(wanted))
    for i = 1, n do known[wanted[i]] = values[i] end
  end
  -- Removes fields at once.
  function hash.remove(fields)
    for i = 1, #fields do known[fields[i]] = false end
    gate_data.send('HDEL', key, fields)
  end
  return hash
end

-- A score as text. Hot: many in a row are the same, and making text of a number is slow.
local last_number, last_text
function gate_data.text(score)
  if score ~= last_number then
    last_number, last_text = score, string.format('%.17g', score)
  end
  return last_text
end

function gate_data.send(command, key, members, n)
  n = n or #members
  for from = 1, n, AT_ONCE do
    call(command, key, unpack(members, from, math.min(n, from + AT_ONCE - 1)))
  end
end

local send = gate_data.send

function gate_data.write()
  for _, action in ipairs(before_write) do action() end
  for _, changes in ipairs(collected) do
    local to = changes.to
    if next(to) then
      local on, off, n, m = {}, {}, 0, 0
      local scored = changes.add == 'ZADD'
      for member, value in pairs(to) do
        if not value then
          m = m + 1
          off[m] = member
        elseif scored then
          on[n + 1], on[n + 2] = value, member
          n = n + 2
        else
          on[n + 1], on[n + 2] = member, value
          n = n + 2
        end
        to[member] = nil
      end
      send(changes.add, changes.key, on, n)
      send(changes.remove, changes.key, off, m)
    end
  end
end

return gate_data
