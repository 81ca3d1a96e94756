-- begin_action: begin an action on many jobs, unless one is running.
-- KEYS: meta actions
-- META: tick safety
-- LIB: record actions guard
-- ARGV: 1 id, 2 its Idempotency-Key with a prefix or '', 3 the request's fingerprint, 4 '1' for a dry
--   run, which may run beside others; then fields of lib/actions and their values
-- RETURNS: started, busy, replayed or mismatch; the action's reply: this one, or the other
local id, binding, fingerprint, dry = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local KEPT_MS, MOST = 86400000, 100
local repeated = actions.read(id)
if repeated then return {'started', actions.reply(repeated)} end
if binding ~= '' then
  local bound = call('HGET', action_fields, binding)
  local earlier = bound and actions.read(bound)
  if earlier then
    local same = earlier.fingerprint == fingerprint
    return {same and 'replayed' or 'mismatch', actions.reply(earlier)}
  end
end
local function forget(a)
  local command = {'HDEL', action_fields, a.binding}
  for _, name in ipairs(actions.FIELDS) do command[#command + 1] = a.id .. name end
  call(unpack(command))
end

local running = call('HGET', action_fields, 'running')
local acting = running and actions.read(running)
if acting and not dry then return {'busy', actions.reply(acting)} end

local kept, known = {}, record.split_ids(call('HGET', action_fields, 'known') or '')
for i, each in ipairs(known) do
  local a = actions.read(each)
  local old = not a
    or each ~= running and (a.begun <= now - KEPT_MS or #known - i >= MOST - 1)
  if old then forget(a or {id = each, binding = ''}) else kept[#kept + 1] = each end
end
kept[#kept + 1] = id
local command = {'HSET', action_fields, 'known', table.concat(kept), id .. 'state', 'Running',
  id .. 'begun', string.format('%.0f', now), id .. 'stepped', string.format('%.0f', now),
  id .. 'dry', ARGV[4], id .. 'fingerprint', fingerprint, id .. 'binding', binding}
if binding ~= '' then command[#command + 1], command[#command + 2] = binding, id end
if not dry then command[#command + 1], command[#command + 2] = 'running', id end
for i = 5, #ARGV, 2 do
  command[#command + 1], command[#command + 2] = id .. ARGV[i], ARGV[i + 1]
end
call(unpack(command))
guard(action_fields)
return {'started', actions.reply(actions.read(id))}
