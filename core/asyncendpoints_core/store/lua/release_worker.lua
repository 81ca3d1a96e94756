-- release_worker: end a worker's registration and take back what it holds, at the old positions.
-- KEYS: all
-- META: tick safety paused closed ttl_ms max_crashes initial_ms multiplier max_ms
-- LIB: record counters finish save returns held_jobs timer guard claimable
-- FEATURES: jobs WEBHOOKS GATE
-- FEATUREMETA: webhook_states webhook_pending gated
-- ARGV: 1 worker, 2 cause: crash killed lost drained, 3 '1' when 4 lists the jobs that had started,
--   4 their ids, 5 how its process ended, empty if unknown
-- RETURNS: requeued, charged, suspected, failed, canceled, 1 when there are more; ids of those that
--   cannot be read
local worker, cause, started_known = ARGV[1], ARGV[2], ARGV[3] == '1'
local how = ARGV[5] ~= '' and ': ' .. ARGV[5] or ''
local begun = {}
for _, id in ipairs(record.split_ids(ARGV[4])) do begun[id] = true end
local was_idle = call('ZSCORE', idle, worker)
local here = call('ZREM', workers, worker)
if here == 1 then call('ZADD', deregistered, now, worker) end
call('HDEL', worker_info, worker)
call('HDEL', marks, 'd' .. worker, 'c' .. worker)
call('HDEL', last_claims, worker)
call('ZREM', idle, worker)
if call('HGET', meta, 'solo') == worker then call('HDEL', meta, 'solo', 'solo_until') end

local mine, unreadable, more = held_jobs.read(worker)
local started = 0
for _, pair in ipairs(mine) do
  if not started_known or begun[pair[1]] then started = started + 1 end
end
local states, charged, suspected = {[0] = 0, 0, 0, 0, 0, 0}, 0, 0

local function backoff(retry)
  local delay = initial_ms * multiplier ^ (retry - 1)
  return floor(math.min(max_ms, delay))
end

local crash_error = how ~= ''
  and finish.error_text('worker-crashed', "its worker's process died" .. how, true) or ''

local function crash_alone(id, r)
  r.crashes = r.crashes + 1
  counters.tally('crashed', 1)
  charged = charged + 1
  local spent = r.crashes > max_crashes
  local err = spent and finish.error_text('worker-crashed', string.format(
    "its worker's process died %s while running it%s",
    r.crashes == 1 and 'once' or r.crashes .. ' times', how)) or ''
  finish.run(r, spent and 3 or 5, spent and err or crash_error)
  r.attempt = math.max(0, r.attempt - 1)
  if spent then
    r.error = err
    finish.job(id, r, FAILED)
  else
    r.suspect = true
    returns.requeue(id, r, now + (r.crashes > 1 and backoff(r.crashes - 1) or 0))
  end
end

for _, pair in ipairs(mine) do
  local id, r = pair[1], pair[2]
  local ran = not started_known or begun[id] or false
  counters.tally('recovered', 1)
  if cause ~= 'crash' or not ran or r.cancel_requested_at > 0 then
    held_jobs.give_back(id, r, ran, cause == 'lost' or cause == 'killed', 5)
  else
    returns.drop_held(id, r)
    -- Alone only if nothing ran beside it, also not among what an earlier call took back.
    if started == 1 and not more and here == 1 then
      crash_alone(id, r)
    else
      finish.run(r, 5, crash_error)
      r.attempt = math.max(0, r.attempt - 1)
      r.suspect = true
      suspected = suspected + 1
      returns.requeue(id, r)
    end
    save.run(id, r)
  end
  states[r.state] = states[r.state] + 1
end
if returns.queued == 0 and was_idle then
  returns.queued = math.min(1, claimable()) -- forward one that may have been meant for this worker
end
returns.flush()
-- Without workers, nothing else may put the keys on their timer later.
if call('ZCARD', workers) == 0 then timer.update(true) end
guard(deregistered)
return {states[QUEUED], charged, suspected, states[FAILED], states[CANCELED], more and 1 or 0,
  unreadable}
