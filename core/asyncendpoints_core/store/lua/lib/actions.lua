-- Actions on many jobs: each is some fields of the hash `actions`, named by its id and theirs.
-- Beside them: `running`, the id of the one that acts now; `known`, all ids, the oldest first;
-- for each Idempotency-Key the id that has it.
local actions = {}
actions.FIELDS = {
  -- what to do
  'kind', 'sections', 'only_state', 'dry', 'name', 'key', 'schedule', 'code', 'since', 'before', 'tags',
  'ids', 'fingerprint', 'binding',
  -- how far it is: `number` and `below` are where it stands in a section
  'state', 'begun', 'ended', 'stepped', 'matched', 'done', 'skipped', 'waiting', 'section', 'number',
  'below', 'pass', 'found',
}
local NUMBERS = {
  since = 0, before = 0, begun = 0, ended = 0, stepped = 0, matched = 0, done = 0, skipped = 0,
  section = 1, pass = 1, found = 0,
}

local WORDS = {
  kind = {cancel = true, retry = true, purge = true},
  state = {Running = true, Done = true, Aborted = true},
}

-- Nil without one, and for one that cannot be read.
function actions.read(id)
  local names, a = {}, {id = id}
  for i, name in ipairs(actions.FIELDS) do names[i] = id .. name end
  local values = call('HMGET', action_fields, unpack(names))
  if not values[1] then return nil end
  for i, name in ipairs(actions.FIELDS) do
    a[name] = values[i] or ''
    if NUMBERS[name] and values[i] and not string.find(values[i], '^%d+$')
      or WORDS[name] and not WORDS[name][a[name]] then
      return nil
    end
    if NUMBERS[name] then a[name] = tonumber(values[i] or NUMBERS[name]) end
  end
  return a
end

-- As the protocol returns it.
function actions.reply(a)
  if not a then return {} end
  return {
    a.id, a.kind, a.state, a.dry, a.waiting, a.matched, a.done, a.skipped,
    string.format('%.0f', a.begun), string.format('%.0f', a.ended), string.format('%.0f', a.stepped),
  }
end

-- Writes some of its fields.
function actions.write(a, ...)
  local command = {'HSET', action_fields}
  for _, name in ipairs({...}) do
    local value = a[name]
    if type(value) == 'number' then value = string.format('%.0f', value) end
    command[#command + 1], command[#command + 2] = a.id .. name, value
  end
  call(unpack(command))
end

function actions.finish(a, state)
  a.state, a.ended, a.ids, a.below, a.waiting = state, now, '', '', ''
  if call('HGET', action_fields, 'running') == a.id then call('HDEL', action_fields, 'running') end
end

return actions
