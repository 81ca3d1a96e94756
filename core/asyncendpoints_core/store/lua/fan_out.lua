-- fan_out: replace ends of jobs by their deliveries, each end once.
-- KEYS: meta WEBHOOKS counts totals
-- META: tick webhooks webhook_pending
-- LIB: counters deliveries
-- ARGV: 1 the webhooks by which they were made ('' for any), 2 FAN_OUT of each end, then id and value of each
--   delivery
-- RETURNS: how many ends; -1 when the endpoint has other webhooks by now
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= webhooks then return -1 end
local at, done = 3, 0
for from = 1, #ARGV[2], layout.FAN_OUT.size do
  local layout.FAN_OUT.fields = sunpack(layout.FAN_OUT.format, ARGV[2], from)
  local of = spack(layout.JOB_END.format, layout.JOB_END.fields)
  if call('ZREM', unsent_events, of) == 1 then
    call('HDEL', outbox_heads, of)
    call('HDEL', outbox_receivers, of)
    done = done + 1
    for i = at, at + 2 * count - 1, 2 do
      local d = deliveries.decode(ARGV[i + 1])
      d.due_at, d.created_at = now, now
      deliveries.write(ARGV[i], d)
      deliveries.set_due(ARGV[i], d)
      deliveries.count(d.receiver, 1)
      deliveries.look_now(d.receiver)
    end
    if count > 0 then call('HSET', deliveries_untried, of, count) end
  end
  at = at + 2 * count
end
deliveries.drop_surplus()
counters.flush()
return done
