-- replay_deliveries: make dead deliveries due again, for the first try.
-- KEYS: meta WEBHOOKS counts totals
-- META: tick safety webhook_pending
-- LIB: counters deliveries
-- ARGV: 1 how many receivers; for each its webhook and its id, or the end of it, which replaces that
--   of the delivery's; then ids of deliveries
-- RETURNS: a letter for each: r replayed, p pending, m missing, u its webhook is not among the
--   receivers, g its receiver is gone
local receiver_of, out = {}, {}
local first = 2 + 2 * tonumber(ARGV[1])
for i = 2, first - 1, 2 do receiver_of[ARGV[i]] = ARGV[i + 1] end

local function replay(id, d, receiver)
  call('ZREM', deliveries_dead, id)
  d.receiver, d.tries, d.due_at, d.created_at = receiver, 0, now, now
  deliveries.write(id, d)
  deliveries.set_due(id, d)
  deliveries.count(d.receiver, 1)
  deliveries.look_now(d.receiver)
  local revision, id = d.revision, d.id
  local of = spack(layout.JOB_END.format, layout.JOB_END.fields)
  call('HINCRBY', deliveries_untried, of, 1)
end

for i = first, #ARGV do
  local d = deliveries.read(ARGV[i])
  local ending = d and receiver_of[ssub(d.rest, 1, d.webhook_size)]
  local receiver = ending and ssub(d.receiver, 1, #d.receiver - #ending) .. ending
  local letter = 'r'
  if not d then
    letter = 'm'
  elseif not call('ZSCORE', deliveries_dead, ARGV[i]) then
    letter = 'p'
  elseif not ending then
    letter = 'u'
  elseif deliveries.receiver(receiver).gone > 0 then
    letter = 'g'
  else
    if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
    replay(ARGV[i], d, receiver)
  end
  out[#out + 1] = letter
end
deliveries.drop_surplus()
counters.flush()
return table.concat(out)
