-- configure: write the policy and the owner of the keys.
-- KEYS: all
-- META: tick safety seq purged configured gated paused closed
-- LIB: timer schedule gate_policy ready wake_up
-- ARGV: 1 '1' to overwrite, 2 installation and 3 uid (both '' when unknown),
--   then field and value of the policy
-- RETURNS: 'other', installation, uid when the keys have another owner; else 'ok' and the policy's
--   fields in the order they were given
local owner = call('HMGET', meta, 'installation', 'uid')
if ARGV[2] ~= '' or ARGV[3] ~= '' then
  local same = owner[1] == ARGV[2] and owner[2] == ARGV[3]
  if owner[1] and not same and purged == 0 then return {'other', owner[1], owner[2]} end
  call('HSET', meta, 'installation', ARGV[2], 'uid', ARGV[3])
end
if purged > 0 and (ARGV[1] == '1' or ARGV[2] ~= '') then
  -- Created again under the same name: the tombstone becomes a store again.
  call('HDEL', meta, 'purged', 'closed')
  closed = 0
end
if ARGV[1] == '1' or configured == 0 then
  local limits_before = call('HGET', meta, 'limits') or ''
  call('HSET', meta, 'configured', 1, unpack(ARGV, 4))
  schedule.configure(call('HGET', meta, 'schedules') or '')
  local limits_now = call('HGET', meta, 'limits') or ''
  gate_policy(limits_now)
  -- Those that they held back may start now.
  if limits_now ~= limits_before then
    wake_up(math.max(ready.count(), call('ZCARD', gate_order)))
  end
end
-- Without webhooks, what waits for them is dropped.
if call('HGET', meta, 'webhooks') == '0'
  and call('ZCARD', unsent_events) + call('HLEN', delivery_records) > 0 then
  call('UNLINK', unsent_events, outbox_heads, outbox_receivers, delivery_records, deliveries_due,
    deliveries_dead, deliveries_untried, receivers, receivers_state, receivers_pending)
end
timer.update()
local out = {'ok'}
for i = 4, #ARGV, 2 do out[#out + 1] = call('HGET', meta, ARGV[i]) or ARGV[i + 1] end
return out
