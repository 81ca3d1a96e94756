-- settle_deliveries: apply the outcomes of leased deliveries, each fenced by its token.
-- KEYS: meta WEBHOOKS counts totals
-- META: tick webhook_pending
-- LIB: counters deliveries
-- ARGV: 1 DELIVERY_OUTCOME of each, 2 ms between the probes of a failing receiver at most
-- RETURNS: a letter for each: a applied, s not leased under that token any more
local DELIVERED, FAILED_TRY, DEAD, GONE, RETURNED = 0, 1, 2, 3, 4
local out, most_ms = {}, tonumber(ARGV[2])

local function failed(d, r, status)
  if r.failures == 0 then r.since = now end
  r.failures, r.status = math.min(r.failures + 1, 65535), status
  counters.tally('webhooks_failed', 1)
end

local function settle(id, d, kind, delay_ms, status)
  local r = deliveries.receiver(d.receiver)
  r.webhook = ssub(d.rest, 1, d.webhook_size)
  deliveries.take(id, d)
  if kind == DELIVERED then
    deliveries.forget(id, d)
    -- What was sent before the receiver answered 410 does not bring it back.
    if r.gone == 0 then r.failures, r.status, r.since = 0, 0, 0 end
    counters.tally('webhooks_delivered', 1)
  elseif kind == RETURNED then
    d.due_at = now + delay_ms
    deliveries.write(id, d)
    deliveries.set_due(id, d)
    -- Nothing can be sent to it: its other deliveries wait as well.
    if status == 0 then return deliveries.look_again(d.receiver, now + delay_ms) end
    r.status, r.probe_at = status, now + delay_ms
  else
    failed(d, r, status)
    deliveries.tried(d)
    d.tries, d.status = math.min(d.tries + 1, 255), status
    if kind == GONE then r.gone = 1 end
    if kind == FAILED_TRY then
      d.due_at = now + delay_ms
      deliveries.write(id, d)
      deliveries.set_due(id, d)
    else
      deliveries.give_up(id, d)
      delay_ms = most_ms
    end
    r.probe_at = r.failures >= BROKEN_AFTER and now + math.min(delay_ms, most_ms) or 0
  end
  deliveries.save_receiver(d.receiver, r)
  deliveries.look_again(d.receiver, now)
end

for at = 1, #ARGV[1], layout.DELIVERY_OUTCOME.size do
  local layout.DELIVERY_OUTCOME.fields = sunpack(layout.DELIVERY_OUTCOME.format, ARGV[1], at)
  local d = deliveries.read(delivery)
  if d and d.token == token and call('ZSCORE', deliveries_dead, delivery) == false then
    settle(delivery, d, kind, delay_ms, status)
    out[#out + 1] = 'a'
  else
    out[#out + 1] = 's'
  end
end
counters.flush()
return table.concat(out)
