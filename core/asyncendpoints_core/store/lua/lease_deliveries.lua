-- lease_deliveries: hand out deliveries that are due, receivers in turn. A lease that ends without
-- an outcome makes its delivery due again.
-- KEYS: meta WEBHOOKS counts totals
-- META: tick webhook_pending paused suspended ttl_ms completed_ms failed_ms
-- LIB: time counters deliveries
-- ARGV: 1 limit, 2 ms of the lease, 3 probes at most, 4 at most of one host, 5 the host of each
--   delivery in progress, 4 bytes each, 6 age in ms at which one that waits is given up
-- RETURNS: context; ms until the next look, -1 for none; then id, '1' for a probe, and value of each
local limit, lease_ms, probes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local most, expiry_ms = tonumber(ARGV[4]), tonumber(ARGV[6])
local LOOK_AT, LATER_MS, BOUND, HOST = 64, 200, 100, 4
local busy, out, leased = {}, {time.context(), '-1'}, 0
for at = 1, #ARGV[5], HOST do
  local host = ssub(ARGV[5], at, at + HOST - 1)
  busy[host] = (busy[host] or 0) + 1
end

local function lease(receiver, id, entry, probe)
  local d = deliveries.read(id)
  if not d then return deliveries.drop(receiver, id, entry) end
  deliveries.take(id, d)
  d.token, d.due_at = d.token + 1, now + lease_ms
  deliveries.write(id, d)
  deliveries.set_due(id, d)
  out[#out + 1], out[#out + 2], out[#out + 3] =
    id, probe and '1' or '0', spack(layout.DELIVERY.format, layout.DELIVERY.fields(d)) .. d.rest
  leased = leased + 1
end

-- Gives up what waits for a receiver that wants no more, or has been failing for so long.
local function give_up_waiting(receiver, gone)
  local ids, entries = deliveries.due(receiver, now, BOUND)
  for i, id in ipairs(ids) do
    local d = deliveries.read(id)
    if not d then
      deliveries.drop(receiver, id, entries[i])
    elseif not gone and now - d.created_at < expiry_ms then
      return
    else
      deliveries.tried(d)
      deliveries.give_up(id, d)
    end
  end
end

for _, receiver in ipairs(call('ZRANGEBYSCORE', receivers, '-inf', string.format('%.0f', now),
  'LIMIT', 0, LOOK_AT)) do
  local r, host = deliveries.receiver(receiver), ssub(receiver, 1, HOST)
  local broken, from = r.failures >= BROKEN_AFTER, now
  local room = math.min(limit - leased, most - (busy[host] or 0))
  if r.gone > 0 then
    give_up_waiting(receiver, true)
  elseif room <= 0 or broken and probes <= 0 then
    from = now + LATER_MS
  else
    if broken then give_up_waiting(receiver, false) end
    local before = leased
    local ids, entries = deliveries.due(receiver, now, broken and 1 or room)
    for i, id in ipairs(ids) do lease(receiver, id, entries[i], broken) end
    busy[host] = (busy[host] or 0) + leased - before
    if broken and leased > before then
      probes, r.probe_at = probes - 1, now + lease_ms
      deliveries.save_receiver(receiver, r)
    end
  end
  deliveries.look_again(receiver, from)
  if leased >= limit then break end
end
local head = call('ZRANGE', receivers, 0, 0, 'WITHSCORES')
if head[2] then out[2] = string.format('%.0f', math.max(0, tonumber(head[2]) - now)) end
counters.flush()
return out
