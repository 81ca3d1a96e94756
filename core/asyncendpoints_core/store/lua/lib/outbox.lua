-- The events of finished jobs, written in the script that makes them final.
-- LIB: batch record deliveries event_head
-- LAZY: flush
local outbox = {}
local SWEEP_BOUND = 200
local ended = {}

local function all_want(state)
  return band(webhook_states, 2 ^ (state - COMPLETED)) > 0
end

local CLIENTS_NAME = band(webhook_states, CLIENT_RECEIVERS) > 0

function outbox.may_want(state)
  return all_want(state) or CLIENTS_NAME
end

function outbox.add(id, r)
  if outbox.may_want(r.state) then ended[#ended + 1] = {id, r} end
end

-- The names of the jobs that webhooks get events of; nil for all.
local function wanted_jobs()
  local names = call('HGET', meta, 'webhook_jobs')
  if not names or names == '' then return nil end
  local wanted = {}
  for name in string.gmatch(names, '[^,]+') do wanted[name] = true end
  return wanted
end

local function names_receivers(job)
  local carried = record.attributes(job)
  return carried and carried.webhooks ~= ''
end

local function member(id, revision)
  return spack(layout.JOB_END.format, layout.JOB_END.fields)
end

function outbox.flush()
  if #ended == 0 then return end
  local ids = {}
  for i, pair in ipairs(ended) do ids[i] = pair[1] end
  local wanted = wanted_jobs()
  local on, heads = batch.new('ZADD', unsent_events), batch.new('HSET', outbox_heads)
  for i, job in ipairs(call('HMGET', jobs, unpack(ids))) do
    local r = ended[i][2]
    local wants = all_want(r.state) and (not wanted or wanted[r.name])
    if job and (wants or CLIENTS_NAME and names_receivers(job)) then
      local of = member(ids[i], r.revision)
      batch.add(on, string.format('%.0f', now), of)
      batch.add(heads, of, event_head.of(job, r))
    end
  end
  batch.flush(on)
  batch.flush(heads)
  ended = {}
  deliveries.drop_surplus()
end

-- At rest, only records that cannot be read end jobs.
function outbox.put_on_timer(put)
  put(unsent_events)
  put(outbox_heads)
end

-- Whether the result of a job past its retention is kept for a first try that is still to come.
function outbox.awaits(id, r, kept_ms)
  if now - r.completed_at > kept_ms + RESULT_KEPT_MS then return false end
  local of = member(id, r.revision)
  return call('ZSCORE', unsent_events, of) or call('HEXISTS', deliveries_untried, of) == 1
end

-- Forgets dead deliveries, and failing receivers that get none, once a failed job would be.
function outbox.sweep(kept_ms)
  deliveries.forget_receivers(now - kept_ms)
  local old = call('ZRANGEBYSCORE', deliveries_dead, '-inf', string.format('%.0f', now - kept_ms),
    'LIMIT', 0, SWEEP_BOUND)
  if #old == 0 then return end
  call('ZREM', deliveries_dead, unpack(old))
  call('HDEL', delivery_records, unpack(old))
end

return outbox
