-- list_deliveries: pending deliveries by receiver, the next that is due first; or dead ones, the
-- newest first.
-- KEYS: meta deliveries deliveries:due deliveries:dead
-- META: tick paused suspended ttl_ms completed_ms failed_ms
-- LIB: time descending
-- FLAGS: read
-- ARGV: 1 pending or dead, 2 limit, 3 number and 4 member to go on after ('' at the start), 5 how many
--   to look at, 6 only of this webhook ('' for all)
-- RETURNS: context; number and member to go on after, both '' at the end; then id, when it died (0 for
--   pending), and value of each
local want, most, webhook = tonumber(ARGV[2]), tonumber(ARGV[5]), ARGV[6]
local number, member = tonumber(ARGV[3]), ARGV[4]

local function waiting()
  local found = call('ZRANGEBYLEX', deliveries_due, member == '' and '-' or '(' .. member, '+',
    'LIMIT', 0, most + 1)
  local at = 0
  return function()
    at = at + 1
    if not found[at] then return nil end
    return 0, found[at], ssub(found[at], layout.DUE.at.delivery, layout.DUE.last.delivery)
  end
end

local function given_up()
  local reader = descending.open(deliveries_dead, number, member)
  return function()
    local pair = reader.peek()
    if not pair then return nil end
    reader.next = reader.next + 1
    return pair[1], pair[2], pair[2]
  end
end

local following = ARGV[1] == 'dead' and given_up() or waiting()
local out, found, looked = {time.context(), '', ''}, 0, 0
while found < want and looked < most do
  local at, place, id = following()
  if not at then break end
  out[2], out[3], looked = string.format('%.0f', at), place, looked + 1
  local value = call('HGET', delivery_records, id)
  if value then
    local size = sunpack(layout.DELIVERY.format.webhook_size, value, layout.DELIVERY.at.webhook_size)
    if webhook == ''
      or webhook == ssub(value, layout.DELIVERY.size + 1, layout.DELIVERY.size + size) then
      found = found + 1
      out[#out + 1], out[#out + 2], out[#out + 3] = id, out[2], value
    end
  end
end
if not following() then out[2], out[3] = '', '' end
return out
