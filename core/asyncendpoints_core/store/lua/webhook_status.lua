-- webhook_status: what waits for webhooks, and what is known of receivers.
-- KEYS: meta outbox deliveries deliveries:due deliveries:dead receivers:state receivers:pending
-- META: tick
-- FLAGS: read
-- ARGV: 1 receivers at most
-- RETURNS: now, pending, dead, when the oldest of the most waiting was made (0: none); receivers with
--   their pending and webhook, the most first; failing receivers with their RECEIVER
local unsent = call('ZRANGE', unsent_events, 0, 0, 'WITHSCORES')
local oldest = tonumber(unsent[2] or 0)
local waiting, LAST = {}, 4

-- The value of a delivery by its member of `deliveries:due`; notes when it was made.
local function look_at(entry)
  local value = entry and call('HGET', delivery_records,
    ssub(entry, layout.DUE.at.delivery, layout.DUE.last.delivery))
  if not value or #value < layout.DELIVERY.size then return nil end
  local created_at =
    sunpack(layout.DELIVERY.format.created_at, value, layout.DELIVERY.at.created_at)
  if oldest == 0 or created_at < oldest then oldest = created_at end
  return value
end

local counts = call('ZREVRANGE', receivers_pending, 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
for i = 1, #counts, 2 do
  local webhook, from, to = '', '[' .. counts[i], '(' .. counts[i] .. '\255\255\255\255\255\255'
  local value = look_at(call('ZRANGEBYLEX', deliveries_due, from, to, 'LIMIT', 0, 1)[1])
  -- One that has failed often is due late, behind newer ones.
  for _, entry in ipairs(call('ZREVRANGEBYLEX', deliveries_due, to, from, 'LIMIT', 0, LAST)) do
    look_at(entry)
  end
  if value then
    local size = sunpack(layout.DELIVERY.format.webhook_size, value, layout.DELIVERY.at.webhook_size)
    webhook = ssub(value, layout.DELIVERY.size + 1, layout.DELIVERY.size + size)
  end
  local at = #waiting
  waiting[at + 1], waiting[at + 2], waiting[at + 3] = counts[i], counts[i + 1], webhook
end
return {
  {
    now, call('ZCARD', unsent_events) + call('ZCARD', deliveries_due),
    call('ZCARD', deliveries_dead), oldest,
  },
  waiting, call('HGETALL', receivers_state),
}
