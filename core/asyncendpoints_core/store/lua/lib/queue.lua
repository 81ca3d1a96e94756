-- Jobs that wait: their time to live, and the move from Scheduled to Queued.
-- LIB: batch record time counters events finish save corrupt_records ready lines
-- FEATURELIB: pauses
local queue = {LOOK_AHEAD = 100, held_back = 0}
queue.off_expiries, queue.off_runs = batch.new('ZREM', expiries), batch.new('HDEL', runs)
local off_expiries = queue.off_expiries

function queue.end_of_wait(r)
  return r.expires_at > 0 and r.expires_at or r.ttl_from + ttl_ms
end

function queue.expired(r)
  local still = pauses and pauses.stood_still(r, time.active) or 0
  return r.started_at == 0 and time.active >= queue.end_of_wait(r) + still
end

function queue.expire(id, r)
  if record.error_code(r) ~= 'handler-missing' then
    r.error = finish.error_text('expired', 'its time to live is over')
  end
  if r.expires_at > 0 or r.claim > 0 then batch.add(off_expiries, id) end
  counters.tally('expired', 1)
  finish.job(id, r, FAILED)
  save.run(id, r)
end

-- Writes what was decided so far; what reads after it sees it.
function queue.flush()
  save.flush()
  batch.flush(queue.off_runs)
  batch.flush(off_expiries)
  corrupt_records.flush()
  finish.flush()
end

-- Moves Scheduled jobs to the tail of their queues: those of a list, else up to LOOK_AHEAD due ones.
-- Returns how many became ready, and how many were due.
function queue.promote(list)
  local due = list or call('ZRANGEBYSCORE', delayed, '-inf', string.format('%d', now), 'LIMIT', '0',
    queue.LOOK_AHEAD)
  if #due == 0 then return 0, 0 end
  local off, on = batch.new('ZREM', delayed), batch.each('ZADD', ready)
  local on_suspects, promoted = batch.new('ZADD', suspects), 0
  for i, run in ipairs(call('HMGET', runs, unpack(due))) do
    local id = due[i]
    local r, why
    if run then r, why = record.decode_run(run) end
    if not run then
      corrupt_records.drop_missing(SCHEDULED)
    elseif why == 'corrupt' then
      corrupt_records.keep(id, run, SCHEDULED, call('HGET', jobs, id))
    elseif r and queue.expired(r) then
      queue.expire(id, r)
    elseif r then
      seq = seq + 1
      r.state, r.seq, r.updated_at, r.revision = QUEUED, seq, now, r.revision + 1
      if r.suspect then
        batch.add(on_suspects, now, id)
      else
        batch.add(on[r.priority], seq, id)
      end
      counters.bump(SCHEDULED, r.name, -1)
      counters.bump(QUEUED, r.name, 1)
      events.add(id, r.revision)
      save.run(id, r)
      promoted = promoted + 1
    end
    if why ~= 'newer' then batch.add(off, id) end
  end
  batch.flush(off)
  queue.held_back = lines.add(on)
  batch.flush(on_suspects)
  queue.flush()
  call('HSET', meta, 'seq', string.format('%.0f', seq))
  return promoted, #due
end

return queue
