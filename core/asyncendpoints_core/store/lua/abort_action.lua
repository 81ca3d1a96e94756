-- abort_action: end an action on many jobs; what it did stays.
-- KEYS: meta actions
-- META: tick
-- LIB: actions
-- ARGV: 1 its id
-- RETURNS: the action's reply, empty without it
local a = actions.read(ARGV[1])
if a and a.state == 'Running' then
  actions.finish(a, 'Aborted')
  actions.write(a, 'state', 'ended', 'ids', 'below', 'waiting')
end
return actions.reply(a)
