-- Final states: where a finished job is kept, and the end of a run in its history.
-- LIB: batch counters events finished
-- FEATURELIB: outbox key_depth gate_data
local finish = {now = string.format('%d', now)}
local set_finished -- batches by state
local freed = 0

function finish.error_text(code, message, retryable)
  retryable = retryable and 1 or 0
  local code_size = #code
  return spack(layout.ERROR.format, layout.ERROR.fields) .. code .. message
end

-- The end of a run in a job's history; `size` is what follows itself.
function finish.attempt(number, started_at, outcome, err)
  local size, ended_at, error_size = layout.ATTEMPT.size - layout.ATTEMPT.width.size + #err, now, #err
  return spack(layout.ATTEMPT.format, layout.ATTEMPT.fields) .. err
end

-- Outcomes: 1 completed, 2 retry, 3 failed, 4 released, 5 recovered, 6 timed-out, 7 canceled.
function finish.run(r, outcome, err)
  if r.history_count >= MAX_ATTEMPTS_KEPT then
    local oldest = layout.ATTEMPT.width.size
      + sunpack(layout.ATTEMPT.format.size, r.history, layout.ATTEMPT.at.size)
    r.history = ssub(r.history, oldest + 1)
    r.history_count = r.history_count - 1
  end
  r.history = r.history .. finish.attempt(r.attempt, r.started_at, outcome, err or '')
  r.history_count = r.history_count + 1
  if now > r.started_at then counters.tally('busy_ms', now - r.started_at) end
end

-- Puts a job whose state is still the old one into a final state; the caller took it out of its
-- queue and writes the record.
function finish.job(id, r, state)
  counters.bump(r.state, r.name, -1)
  counters.bump(state, r.name, 1)
  counters.tally(state == COMPLETED and 'completed' or state == FAILED and 'failed' or 'canceled', 1)
  if key_depth and (r.state == QUEUED or r.state == SCHEDULED) then key_depth.remove(id) end
  r.state, r.completed_at, r.updated_at, r.revision, r.suspect = state, now, now, r.revision + 1, false
  finish.free(r.body_size)
  set_finished = set_finished or batch.each('ZADD', finished)
  batch.add(set_finished[state], finish.now, id)
  events.add(id, r.revision)
  if outbox then outbox.add(id, r) end
end

-- Bodies of finished jobs no longer count.
function finish.free(body_size)
  freed = freed + body_size
end

function finish.flush()
  if set_finished then batch.flush_each(set_finished) end
  if freed > 0 then call('HINCRBY', meta, 'bytes', string.format('%d', -freed)) end
  freed = 0
  if outbox then outbox.flush() end
  if gate_data then gate_data.write() end
end

return finish
