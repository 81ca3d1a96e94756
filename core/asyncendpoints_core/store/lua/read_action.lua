-- read_action: an action on many jobs, as far as it is.
-- KEYS: meta actions
-- META: tick
-- LIB: actions
-- FLAGS: read
-- ARGV: 1 its id, '' for the one that is running
-- RETURNS: now; the action's reply, empty without it
local id = ARGV[1] ~= '' and ARGV[1] or call('HGET', action_fields, 'running')
return {string.format('%.0f', now), actions.reply(id and actions.read(id))}
