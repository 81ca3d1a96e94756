-- settle: apply outcomes, each fenced by its claim's number and worker.
-- KEYS: meta jobs runs results ready:high ready:normal ready:low suspects delayed held expiries
--   finished:completed finished:failed finished:canceled cancels counts totals idle bell watch
-- META: tick paused closed ttl_ms
-- LIB: batch record counters events finish save returns
-- FEATURELIB: outbox gate
-- FEATURES: jobs outbox outbox:heads outbox:receivers deliveries deliveries:due deliveries:dead deliveries:untried
--   receivers receivers:state receivers:pending
--   gate:keyed gate:flows gate:states gate:parked gate:times gate:places gate:usage
--   gate:buckets gate:limits gate:tags gate:order gate:waiting pauses
-- FEATUREMETA: webhook_states webhook_pending gated
-- ARGV: 1 OUTCOME for each; 2 their parts one after the other; 3… the workers
-- RETURNS: two bytes for each: a applied, d already, s stale, g gone, c corrupt; state digit or '-'
local ITEM = layout.OUTCOME.size
local INLINE_RESULT = 1024 -- longer ones lie apart, so that scripts do not carry them to and fro
local items, payload = ARGV[1], ARGV[2]
local n = #items / ITEM
local ids = {}
for i = 1, n do
  local at = (i - 1) * ITEM + layout.OUTCOME.at.id
  ids[i] = ssub(items, at, at + layout.OUTCOME.width.id - 1)
end
local stored = call('HMGET', runs, unpack(ids))
local counting = gate and gated == 1 -- running jobs have places
if counting then gate.load_places(ids) end
local known, completed_now = {}, {}
local set_results = batch.new('HSET', results)
local answers = {}
local COMPLETE, RETRY, FAIL, RELEASE, CANCEL, TIME_OUT = 0, 1, 2, 3, 4, 5

-- Reads a job once, however often the batch has it; false without a record.
local function load(i, id)
  local r = known[id]
  if r ~= nil then return r end
  local why
  local run = completed_now[id] or stored[i]
  r = false
  if run then
    r, why = record.decode_run(run)
    -- A newer format is not settled here; an unreadable one is quarantined by the caller.
    if why then r = {state = IN_PROGRESS, claim = -1, worker = '', why = why} end
  elseif call('HEXISTS', jobs, id) == 1 then
    r = {state = QUEUED, claim = -1, worker = ''} -- never claimed
  end
  known[id] = r
  return r
end

-- What each outcome does, made when the first that is no common case needs it.
local apply
local function make_apply()
  local function started(flags)
    return band(flags, layout.OUTCOME.mask.started) > 0
  end

  local function cancel(id, r, flags)
    if started(flags) then finish.run(r, 7) end
    r.error = ''
    finish.job(id, r, CANCELED)
  end
  return {
    [COMPLETE] = function(id, r, _, _, _, result)
      finish.run(r, 1)
      r.error = ''
      if #result > INLINE_RESULT then batch.add(set_results, id, result) else r.result = result end
      finish.job(id, r, COMPLETED)
    end,
    [RETRY] = function(id, r, delay, err, flags)
      if r.cancel_requested_at > 0 then return cancel(id, r, flags) end
      finish.run(r, 2, err)
      r.error, r.suspect = err, false
      counters.tally('retried', 1)
      returns.postpone(id, r, delay)
    end,
    [FAIL] = function(id, r, _, err)
      finish.run(r, 3, err)
      if err ~= '' then r.error = err end
      finish.job(id, r, FAILED)
    end,
    [RELEASE] = function(id, r, delay, err, flags)
      if r.cancel_requested_at > 0 then return cancel(id, r, flags) end
      counters.tally('released', 1)
      if err ~= '' then r.error = err end
      if returns.take_back(id, r, started(flags), true, 4) then return end
      if delay > 0 then returns.postpone(id, r, delay) else returns.requeue(id, r) end
    end,
    [CANCEL] = function(id, r, _, _, flags) cancel(id, r, flags) end,
    [TIME_OUT] = function(id, r, delay, err, flags)
      if r.cancel_requested_at > 0 then return cancel(id, r, flags) end
      finish.run(r, 6, err)
      if err ~= '' then r.error = err end
      r.suspect = false
      counters.tally('timed_out', 1)
      if band(flags, layout.OUTCOME.mask.final) > 0 then return finish.job(id, r, FAILED) end
      returns.postpone(id, r, delay)
    end,
  }
end

-- The common case: completed in one of its first runs, without a requested cancel.
-- Only the end of the fixed part and the history change. Returns nothing for any other.
-- Not with an event for it, which needs the whole record.
local short = not (outbox and webhook_states > 0 and outbox.may_want(COMPLETED))
local completed, busy, freed, names, ended = 0, 0, 0, {}, {}
local off_held, watched, now_text = returns.off_held, events.watched, finish.now
local on_runs, on_finished = {'HSET', runs}, {'ZADD', finished_completed}

-- How a completed run begins, by how the running one does; false for one to look at closely.
local PREFIXES = {}
local function prefix_of(head, run)
  local r = record.decode_run(run)
  if not r then return false end
  PREFIXES[head] = false
  if r.state == IN_PROGRESS and not r.suspect
    and band(r.flags, layout.RUN.optional_flags) == 0 then
    r.state = COMPLETED
    PREFIXES[head] = ssub(record.encode_run(r), 1, layout.RUN.last.head)
  end
  return PREFIXES[head]
end

-- What the runs of one claim have in common, before and after; false for one to look at closely.
local function read_common(run)
  local layout.RUN.fields.settled = sunpack(layout.RUN.format.settled, run, layout.RUN.at.settled)
  if cancel_requested_at > 0 or error_size > 0 or progress_size > 0 or history_count > 9 then
    return false
  end
  local common = {worker_size = worker_size, history_size = history_size, revision = revision + 1}
  common.entry = finish.attempt(attempt, started_at, 1, '')
  common.ms = math.max(0, now - started_at)
  revision, updated_at, completed_at = revision + 1, now, now
  history_count, history_size = history_count + 1, history_size + #common.entry
  common.outcome = spack(layout.RUN.format.outcome, layout.RUN.fields.outcome)
  return common
end

local common, last_start, last_outcome
local function complete(id, run, claimed, worker, result)
  if not run or #run < layout.RUN.size then return end
  local head = ssub(run, layout.RUN.at.head, layout.RUN.last.head)
  local prefix = PREFIXES[head]
  if prefix == nil then prefix = prefix_of(head, run) end
  local start = ssub(run, layout.RUN.at.start, layout.RUN.last.start)
  local outcome = ssub(run, layout.RUN.at.outcome, layout.RUN.last.outcome)
  if start ~= last_start or outcome ~= last_outcome then
    common, last_start, last_outcome = read_common(run), start, outcome
  end
  if not prefix or not common then return end
  local layout.RUN.fields.claimed = sunpack(layout.RUN.format.claimed, run, layout.RUN.at.claimed)
  local worker_size, history_size, error_size, progress_size =
    common.worker_size, common.history_size, 0, 0
  local name_size = sbyte(run, layout.RUN.at.name_size)
  local worker_at = layout.RUN.size + 1 + layout.RUN.before.worker
  if claim ~= claimed or #run ~= layout.RUN.size + layout.RUN.parts_size
    or ssub(run, worker_at, worker_at + worker_size - 1) ~= worker then
    return
  end
  freed, busy = freed + body_size, busy + common.ms
  local name_at = layout.RUN.size + 1 + layout.RUN.before.name
  local name = ssub(run, name_at, name_at + name_size - 1)
  names[name] = (names[name] or 0) + 1
  if watched then events.add(id, common.revision) end
  off_held.n = off_held.n + 1
  off_held[off_held.n] = worker .. '\0' .. ssub(run, layout.RUN.at.claim, layout.RUN.last.claim) .. id
  local kept, history = ssub(run, layout.RUN.at.kept, layout.RUN.last.kept), common.entry
  if history_size > 0 then
    local history_at = layout.RUN.size + 1 + layout.RUN.before.history
    history = ssub(run, history_at, history_at + history_size - 1) .. history
  end
  run = layout.RUN.join{head = prefix, kept, outcome = common.outcome, worker, history, name}
    .. result
  completed = completed + 1
  local at = completed * 2 + 2
  on_runs[at - 1], on_runs[at] = id, run
  on_finished[at - 1], on_finished[at] = now_text, id
  completed_now[id] = run
  if counting then ended[completed] = id end
  return true
end

local parts_at = 1
for i = 1, n do
  local id = ids[i]
  local layout.OUTCOME.fields.after_id =
    sunpack(layout.OUTCOME.format.after_id, items, (i - 1) * ITEM + layout.OUTCOME.at.after_id)
  local worker, result_at = ARGV[3 + worker_index], parts_at + layout.OUTCOME.before.result
  local result = ssub(payload, result_at, result_at + result_size - 1)
  if kind == COMPLETE and short and result_size <= INLINE_RESULT and not completed_now[id]
    and not known[id] and complete(id, stored[i], claim, worker, result) then
    answers[i] = 'a3'
  else
    local r = load(i, id)
    if not r then
      answers[i] = 'g-'
    elseif r.why == 'corrupt' then
      answers[i] = 'c4'
    elseif r.claim ~= claim or r.worker ~= worker then
      counters.tally('stale', 1)
      answers[i] = 's' .. r.state
    elseif r.state ~= IN_PROGRESS then
      answers[i] = 'd' .. r.state
    else
      local err = ''
      if band(flags, layout.OUTCOME.mask.has_error) > 0 then
        local code_at = parts_at + layout.OUTCOME.before.code
        local message_at = parts_at + layout.OUTCOME.before.message
        err = finish.error_text(ssub(payload, code_at, code_at + code_size - 1),
          ssub(payload, message_at, message_at + message_size - 1),
          band(flags, layout.OUTCOME.mask.retryable) > 0)
      end
      returns.drop_held(id, r)
      apply = apply or make_apply()
      apply[kind](id, r, delay_ms, err, flags, result)
      save.run(id, r)
      answers[i] = 'a' .. r.state
    end
  end
  parts_at = parts_at + layout.OUTCOME.parts_size
end
if completed > 0 then
  for name, count in pairs(names) do
    counters.bump(IN_PROGRESS, name, -count)
    counters.bump(COMPLETED, name, count)
  end
  counters.tally('completed', completed)
  counters.tally('busy_ms', busy)
  finish.free(freed)
  if counting then gate.free_all(ended, completed) end
  call(unpack(on_finished))
  call(unpack(on_runs))
end
batch.flush(set_results)
returns.flush()
return table.concat(answers)
