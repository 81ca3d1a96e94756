-- replay_deliveries: make dead deliveries due again, for the first try.
-- KEYS: meta outbox outbox:heads deliveries deliveries:due deliveries:dead deliveries:untried
--   receivers receivers:state receivers:pending counts totals
-- META: tick safety webhook_pending
-- LIB: counters deliveries
-- ARGV: ids of deliveries, and the receiver of each, one after the other
-- RETURNS: how many were dead
local done = 0
for i = 1, #ARGV, 2 do
  local d = call('ZSCORE', deliveries_dead, ARGV[i]) and deliveries.read(ARGV[i])
  if d then
    if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
    call('ZREM', deliveries_dead, ARGV[i])
    d.receiver, d.tries, d.due_at, d.created_at = ARGV[i + 1], 0, now, now
    deliveries.write(ARGV[i], d)
    deliveries.place(ARGV[i], d)
    deliveries.count(d.receiver, 1)
    deliveries.look_now(d.receiver)
    local revision, id = d.revision, d.id
    local of = spack(layout.JOB_END.format, layout.JOB_END.fields)
    call('HINCRBY', deliveries_untried, of, 1)
    done = done + 1
  end
end
deliveries.drop_surplus()
counters.flush()
return done
