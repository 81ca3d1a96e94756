-- Writes fields of an action on many jobs, and ends it.
local action_changes = {}

function action_changes.write(a, ...)
  local command = {'HSET', action_fields}
  for _, name in ipairs({...}) do
    local value = a[name]
    if type(value) == 'number' then value = string.format('%.0f', value) end
    command[#command + 1], command[#command + 2] = a.id .. name, value
  end
  call(unpack(command))
end

function action_changes.finish(a, state)
  a.state, a.ended, a.ids, a.below, a.waiting = state, now, '', '', ''
  if call('HGET', action_fields, 'running') == a.id then call('HDEL', action_fields, 'running') end
end

return action_changes
