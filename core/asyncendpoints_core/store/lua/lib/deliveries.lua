-- Deliveries of events to receivers: where each waits, and what is known of its receiver.
-- LIB: counters
-- LAZY:
local deliveries = {}
local CLIENTS = 'Job-Webhook' -- as in jobs/policy.py
local END = '\255\255\255\255\255\255' -- after the due time of every delivery

function deliveries.decode(value)
  local d = {}
  layout.DELIVERY.fields(d) = sunpack(layout.DELIVERY.format, value)
  d.rest = ssub(value, layout.DELIVERY.size + 1)
  return d
end

-- Nil without one, and for one that cannot be read.
function deliveries.read(id)
  local value = call('HGET', delivery_records, id)
  return value and #value >= layout.DELIVERY.size and deliveries.decode(value) or nil
end

function deliveries.write(id, d)
  call('HSET', delivery_records, id,
    spack(layout.DELIVERY.format, layout.DELIVERY.fields(d)) .. d.rest)
end

local function member(id, d)
  local receiver, due_at, delivery = d.receiver, d.due_at, id
  return spack(layout.DUE.format, layout.DUE.fields)
end

function deliveries.set_due(id, d)
  call('ZADD', deliveries_due, 0, member(id, d))
end

function deliveries.take(id, d)
  return call('ZREM', deliveries_due, member(id, d)) == 1
end

-- The ids of a receiver's deliveries that are due until `to`, the oldest first.
function deliveries.due(receiver, to, limit)
  local ids = {}
  local high = to and spack(layout.DUE.format.due_at, to + 1) or END
  local found = call('ZRANGEBYLEX', deliveries_due, '[' .. receiver, '(' .. receiver .. high,
    'LIMIT', 0, limit)
  for i, entry in ipairs(found) do
    ids[i] = ssub(entry, layout.DUE.at.delivery, layout.DUE.last.delivery)
  end
  return ids, found
end

function deliveries.receiver(receiver)
  local value = call('HGET', receivers_state, receiver)
  if not value or #value < layout.RECEIVER.size then -- none, or one that cannot be read
    return {failures = 0, gone = 0, status = 0, since = 0, probe_at = 0, webhook = ''}
  end
  local r = {webhook = ssub(value, layout.RECEIVER.size + 1)}
  layout.RECEIVER.fields(r) = sunpack(layout.RECEIVER.format, value)
  return r
end

-- Looks at a receiver at once, or when it gets its next probe.
function deliveries.look_now(receiver)
  local at = tonumber(call('ZSCORE', receivers, receiver))
  if at and at <= now then return end
  local from = math.max(now, deliveries.receiver(receiver).probe_at)
  if not at or from < at then call('ZADD', receivers, string.format('%.0f', from), receiver) end
end

-- Looks at a receiver again when its next delivery is due, not before `from`.
function deliveries.look_again(receiver, from)
  local _, found = deliveries.due(receiver, nil, 1)
  if not found[1] then
    call('ZREM', receivers, receiver)
    return
  end
  local due_at = sunpack(layout.DUE.format.due_at, found[1], layout.DUE.at.due_at)
  local at = math.max(due_at, from, deliveries.receiver(receiver).probe_at)
  call('ZADD', receivers, string.format('%.0f', at), receiver)
end

function deliveries.count(receiver, by)
  local pending = (tonumber(call('ZSCORE', receivers_pending, receiver)) or 0) + by
  if pending > 0 then
    call('ZADD', receivers_pending, pending, receiver)
  else
    call('ZREM', receivers_pending, receiver)
  end
end

-- One of a job's deliveries was tried, or will never be: its result need not wait for it.
function deliveries.tried(d)
  if d.tries > 0 then return end
  local revision, id = d.revision, d.id
  local of = spack(layout.JOB_END.format, layout.JOB_END.fields)
  if call('HINCRBY', deliveries_untried, of, -1) <= 0 then call('HDEL', deliveries_untried, of) end
end

-- Forgets a delivery that cannot be read; `entry` is its member of `deliveries:due`.
function deliveries.drop(receiver, id, entry)
  call('ZREM', deliveries_due, entry)
  deliveries.count(receiver, -1)
  call('HDEL', delivery_records, id)
  counters.tally('webhooks_dropped', 1)
end

function deliveries.forget(id, d)
  deliveries.take(id, d)
  deliveries.tried(d)
  deliveries.count(d.receiver, -1)
  call('HDEL', delivery_records, id)
end

function deliveries.give_up(id, d)
  deliveries.take(id, d)
  deliveries.count(d.receiver, -1)
  deliveries.write(id, d)
  call('ZADD', deliveries_dead, string.format('%.0f', now), id)
  counters.tally('webhooks_dead', 1)
  local over = call('ZCARD', deliveries_dead) - MAX_DEAD
  for _, oldest in ipairs(over > 0 and call('ZRANGE', deliveries_dead, 0, over - 1) or {}) do
    call('ZREM', deliveries_dead, oldest)
    call('HDEL', delivery_records, oldest)
  end
end

-- Only of those that fail or cannot be sent to, and of so many. Those that clients name leave as many
-- to the webhooks of the resource.
function deliveries.save_receiver(receiver, r)
  if r.failures == 0 and r.status == 0 then return call('HDEL', receivers_state, receiver) end
  local most = r.webhook == CLIENTS and MAX_RECEIVERS or 2 * MAX_RECEIVERS
  if call('HLEN', receivers_state) >= most
    and call('HEXISTS', receivers_state, receiver) == 0 then
    return
  end
  call('HSET', receivers_state, receiver,
    spack(layout.RECEIVER.format, layout.RECEIVER.fields(r)) .. r.webhook)
end

-- Forgets failing receivers to which nothing is sent and nothing was sent since `before`. One that
-- is gone stays: it is to get nothing more.
function deliveries.forget_receivers(before)
  if call('HLEN', receivers_state) == 0 then return end
  local cursor = call('HGET', meta, 'receiver_cursor') or '0'
  local page = call('HSCAN', receivers_state, cursor, 'COUNT', 100)
  for i = 1, #page[2], 2 do
    local receiver = page[2][i]
    local r = deliveries.receiver(receiver)
    if r.gone == 0 and math.max(r.since, r.probe_at) <= before
      and not call('ZSCORE', receivers_pending, receiver) then
      call('HDEL', receivers_state, receiver)
    end
  end
  call('HSET', meta, 'receiver_cursor', page[1])
end

-- Drops what is too much: the oldest of what has most waiting, a receiver or the outbox. A call adds
-- less than MAX_DROPPED; more is there after the limit was lowered, and goes with the next calls.
function deliveries.drop_surplus()
  local over = call('ZCARD', unsent_events) + call('ZCARD', deliveries_due) - webhook_pending
  for _ = 1, math.min(over, MAX_DROPPED) do
    local most = call('ZREVRANGE', receivers_pending, 0, 0, 'WITHSCORES')
    local unsent = call('ZCARD', unsent_events)
    if most[1] and tonumber(most[2]) >= unsent then
      local ids, entries = deliveries.due(most[1], nil, 1)
      local id = ids[1]
      local d = id and deliveries.read(id)
      if not id then break end
      if d then deliveries.forget(id, d) else deliveries.drop(most[1], id, entries[1]) end
    elseif unsent > 0 then
      local oldest = call('ZRANGE', unsent_events, 0, 0)[1]
      call('ZREM', unsent_events, oldest)
      call('HDEL', outbox_heads, oldest)
      call('HDEL', outbox_receivers, oldest)
    else
      break
    end
    counters.tally('webhooks_dropped', 1)
  end
end

return deliveries
