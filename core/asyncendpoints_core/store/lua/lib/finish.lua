-- Final states: where a finished job is kept, and the end of a run in its history.
local set_finished = {
  [3] = batch.new('ZADD', finished_completed), [4] = batch.new('ZADD', finished_failed),
  [5] = batch.new('ZADD', finished_canceled),
}
local FINAL_TALLY = {[3] = 'completed', [4] = 'failed', [5] = 'canceled'}
local freed = 0
local now_text = string.format('%.0f', now)

local function error_text(code, message, retryable)
  retryable = retryable and 1 or 0
  local code_size = #code
  return spack(layout.ERROR.format, layout.ERROR.fields) .. code .. message
end

-- The end of a run in a job's history; `size` is what follows itself.
local function pack_attempt(number, started_at, outcome, err)
  local size, ended_at, error_size = layout.ATTEMPT.size - layout.ATTEMPT.width.size + #err, now, #err
  return spack(layout.ATTEMPT.format, layout.ATTEMPT.fields) .. err
end

-- Outcomes: 1 completed, 2 retry, 3 failed, 4 released, 5 recovered, 6 timed-out, 7 canceled.
local function end_run(r, outcome, err)
  err = err or ''
  if r.history_count >= 10 then
    local oldest = layout.ATTEMPT.width.size
      + sunpack(layout.ATTEMPT.format.size, r.history, layout.ATTEMPT.at.size)
    r.history = ssub(r.history, oldest + 1)
    r.history_count = r.history_count - 1
  end
  r.history = r.history .. pack_attempt(r.attempt, r.started_at, outcome, err)
  r.history_count = r.history_count + 1
  if now > r.started_at then tally('busy_ms', now - r.started_at) end
end

-- Puts a job whose state is still the old one into a final state; the caller took it out of its
-- line and writes the record.
local function finish(id, r, state)
  bump(r.state, r.name, -1)
  bump(state, r.name, 1)
  tally(FINAL_TALLY[state], 1)
  r.state, r.completed_at, r.updated_at, r.revision, r.suspect = state, now, now, r.revision + 1, false
  freed = freed + r.body_size
  batch.add(set_finished[state], now_text, id)
  note(id, r.revision)
end

local function flush_finished()
  for state = 3, 5 do
    batch.flush(set_finished[state])
    set_finished[state] = batch.new('ZADD', set_finished[state][2])
  end
  if freed > 0 then call('HINCRBY', meta, 'bytes', string.format('%.0f', -freed)) end
  freed = 0
end
