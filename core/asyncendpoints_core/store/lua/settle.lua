-- settle: apply outcomes, each fenced by its claim's number and worker.
-- KEYS: meta jobs runs results ready:high ready:normal ready:low suspects delayed held expiries
--   finished:completed finished:failed finished:canceled cancels counts totals idle bell watch
-- META: tick paused closed ttl_ms
-- LIB: batch record counters events finish save returns
-- FEATURELIB: outbox gate
-- FEATURES: jobs WEBHOOKS GATE
-- FEATUREMETA: webhook_states webhook_pending gated
-- ARGV: 1 OUTCOME for each; 2 their parts one after the other; 3… the workers
-- RETURNS: two bytes for each: a applied, d already, s stale, g gone, c corrupt; state digit or '-'
local ITEM = layout.OUTCOME.size
local INLINE_RESULT = 1024 -- longer ones lie apart, so that scripts do not carry them to and fro
local items, payload = ARGV[1], ARGV[2]
-- As locals of this function: an instruction less for each use.
local find, ssub, sbyte, sunpack = string.find, ssub, sbyte, sunpack
local n = #items / ITEM
local ids, at = {}, layout.OUTCOME.at.id
for i = 1, n do
  ids[i] = ssub(items, at, at + layout.OUTCOME.width.id - 1)
  at = at + ITEM
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
local completed, freed, ended = 0, 0, {}
local watched, now_text = events.watched, finish.now
local off_held, on_runs, on_finished = {'ZREM', held}, {'HSET', runs}, {'ZADD', finished_completed}

-- What the runs of one claim, name and worker have in common, before and after; false for those to
-- look at closely.
local commons = {}
local function common_of(run)
  local head = ssub(run, layout.RUN.at.head, layout.RUN.last.head)
  local start = ssub(run, layout.RUN.at.start, layout.RUN.last.start)
  local outcome = ssub(run, layout.RUN.at.outcome, layout.RUN.last.outcome)
  local parts = ssub(run, layout.RUN.size + 1)
  local of = head .. start .. outcome .. parts
  if commons[of] ~= nil then return commons[of] end
  commons[of] = false
  local r = record.decode_run(run)
  if not r or r.state ~= IN_PROGRESS or r.suspect or r.cancel_requested_at > 0 or r.error_size > 0
    or r.progress_size > 0 or r.history_count >= MAX_ATTEMPTS_KEPT or r.result ~= ''
    or band(r.flags, layout.RUN.optional_flags) > 0 then
    return false
  end
  local common = {
    head = head, start = start, outcome = outcome, parts = parts, size = #run, worker = r.worker,
    name = r.name, name_size = r.name_size, mine = r.worker .. '\0',
    ms = math.max(0, now - r.started_at), revision = r.revision + 1, count = 0,
  }
  r.history = r.history .. finish.attempt(r.attempt, r.started_at, 1, '')
  r.history_count, r.state, r.revision = r.history_count + 1, COMPLETED, r.revision + 1
  r.updated_at, r.completed_at = now, now
  local ended = record.encode_run(r)
  common.new_head = ssub(ended, layout.RUN.at.head, layout.RUN.last.head)
  common.new_outcome = ssub(ended, layout.RUN.at.outcome, layout.RUN.last.outcome)
  common.new_parts = ssub(ended, layout.RUN.size + 1)
  commons[of] = common
  return common
end

local common -- of the last run
local parts_at, item_at = 1, layout.OUTCOME.at.after_id
for i = 1, n do
  local id, run = ids[i], stored[i]
  local layout.OUTCOME.fields.after_id = sunpack(layout.OUTCOME.format.after_id, items, item_at)
  local worker, result_at = ARGV[3 + worker_index], parts_at + layout.OUTCOME.before.result
  local result = ssub(payload, result_at, result_at + result_size - 1)
  local quick = kind == COMPLETE and short and result_size <= INLINE_RESULT and run
    and not completed_now[id] and not known[id]
  if quick and not (common and #run == common.size
    and find(run, common.parts, layout.RUN.size + 1, true) == layout.RUN.size + 1
    and find(run, common.outcome, layout.RUN.at.outcome, true) == layout.RUN.at.outcome
    and find(run, common.start, layout.RUN.at.start, true) == layout.RUN.at.start
    and find(run, common.head, layout.RUN.at.head, true) == layout.RUN.at.head) then
    common = #run >= layout.RUN.size and common_of(run)
  end
  if quick and common and common.worker == worker then
    local claimed, name_size = claim, sbyte(run, layout.RUN.at.name_size)
    local layout.RUN.fields.claimed = sunpack(layout.RUN.format.claimed, run, layout.RUN.at.claimed)
    quick = claim == claimed and name_size == common.name_size
    freed = freed + (quick and body_size or 0)
  else
    quick = false
  end
  if quick then
    completed, common.count = completed + 1, common.count + 1
    if watched then events.add(id, common.revision) end
    off_held[completed + 2] = common.mine .. ssub(run, layout.RUN.at.claim, layout.RUN.last.claim) .. id
    local kept = ssub(run, layout.RUN.at.kept, layout.RUN.last.kept)
    run = layout.RUN.join{head = common.new_head, kept, outcome = common.new_outcome}
      .. common.new_parts .. result
    local at = completed * 2 + 2
    on_runs[at - 1], on_runs[at] = id, run
    on_finished[at - 1], on_finished[at] = now_text, id
    completed_now[id] = run
    if counting then ended[completed] = id end
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
  parts_at, item_at = parts_at + layout.OUTCOME.parts_size, item_at + ITEM
end
if completed > 0 then
  for _, of in pairs(commons) do
    if of then
      counters.bump(IN_PROGRESS, of.name, -of.count)
      counters.bump(COMPLETED, of.name, of.count)
      counters.tally('busy_ms', of.count * of.ms)
    end
  end
  counters.tally('completed', completed)
  finish.free(freed)
  if counting then gate.free_all(ended, completed) end
  call(unpack(off_held))
  call(unpack(on_finished))
  call(unpack(on_runs))
end
batch.flush(set_results)
returns.flush()
return table.concat(answers)
