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
local CHUNK = 50
local number, member = tonumber(ARGV[3]), ARGV[4]

local function waiting()
  local found, at = {}, 1
  local reader = {}
  function reader.next()
    if not found[at] then
      found, at = call('ZRANGEBYLEX', deliveries_due, member == '' and '-' or '(' .. member, '+',
        'LIMIT', 0, CHUNK), 1
      if not found[1] then return nil end
    end
    member, at = found[at], at + 1
    return 0, member, ssub(member, layout.DUE.at.delivery, layout.DUE.last.delivery)
  end
  -- All that wait for a receiver are for the same webhook.
  function reader.skip_receiver()
    local receiver = ssub(member, layout.DUE.at.receiver, layout.DUE.last.receiver)
    member, found = receiver .. string.rep('\255', layout.DUE.size - #receiver), {}
    return member
  end
  return reader
end

local function given_up()
  local pairs = descending.open(deliveries_dead, number, member)
  local reader = {}
  function reader.next()
    local pair = pairs.peek()
    if not pair then return nil end
    pairs.next = pairs.next + 1
    return pair[1], pair[2], pair[2]
  end
  return reader
end

local reader = ARGV[1] == 'dead' and given_up() or waiting()
local out, found, looked = {time.context(), '', ''}, 0, 0
while found < want and looked < most do
  local at, member, id = reader.next()
  if not at then break end
  out[2], out[3], looked = string.format('%.0f', at), member, looked + 1
  local value = call('HGET', delivery_records, id)
  if value and #value >= layout.DELIVERY.size then
    local size = sunpack(layout.DELIVERY.format.webhook_size, value, layout.DELIVERY.at.webhook_size)
    if webhook == ''
      or webhook == ssub(value, layout.DELIVERY.size + 1, layout.DELIVERY.size + size) then
      found = found + 1
      out[#out + 1], out[#out + 2], out[#out + 3] = id, out[2], value
    elseif reader.skip_receiver then
      out[3] = reader.skip_receiver()
    end
  end
end
if not reader.next() then out[2], out[3] = '', '' end
return out
