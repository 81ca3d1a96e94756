-- settle_with_children: complete jobs, each fenced by its claim, and create the jobs that they
--   enqueued in the same step; one whose children find no room fails, and they are not created.
-- KEYS: meta jobs runs blobs results ready:high ready:normal ready:low suspects delayed held expiries
--   finished:completed finished:failed finished:canceled cancels counts totals idle bell watch
-- META: tick safety seq bytes paused suspended closed max_depth max_bytes ttl_ms
-- LIB: batch ready record counters events finish save returns new_job lines due_soon
-- FEATURELIB: key_depth
-- FEATURES: WEBHOOKS GATE
-- FEATUREMETA: webhook_states webhook_pending gated
-- FLAGS: deny-oom
-- ARGV: 1 OUTCOME for each; 2 their parts one after the other; 3 a byte for each: how many children;
--   4 NEW_JOB for each child; 5 their parts; 6… the workers
-- RETURNS: two bytes for each: a applied, d already, s stale, g gone, c corrupt; state digit or '-'
local ITEM, CHILD = layout.OUTCOME.size, layout.NEW_JOB.size
local INLINE_RESULT = 1024 -- as in settle.lua
local items, results_of, counts_of, children, content_of = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local n = #items / ITEM
local ids = {}
for i = 1, n do
  local at = (i - 1) * ITEM + layout.OUTCOME.at.id
  ids[i] = ssub(items, at, at + layout.OUTCOME.width.id - 1)
end
local stored = call('HMGET', runs, unpack(ids))

local sizes = ready.sizes()
local depth = sizes[0] + sizes[1] + sizes[2] + call('ZCARD', suspects) + call('ZCARD', delayed)
  + lines.behind()
local next_seq, created, added, freed = seq, 0, 0, 0
local set_results = batch.new('HSET', results)
local set_jobs, set_runs = batch.new('HSET', jobs), batch.new('HSET', runs)
local set_blobs, set_ready = batch.new('HSET', blobs), batch.each('ZADD', ready)
local set_delayed = batch.new('ZADD', delayed)
local known, answers = {}, {}

-- Reads a job once, however often the batch has it; nil without a record.
local function load(i, id)
  local r, why = known[id], nil
  if r then return r end
  if stored[i] then
    r, why = record.decode_run(stored[i])
    -- A newer format is not settled here; an unreadable one is quarantined by the caller.
    if why then r = {state = IN_PROGRESS, claim = -1, worker = '', why = why} end
  elseif call('HEXISTS', jobs, id) == 1 then
    r = {state = QUEUED, claim = -1, worker = ''} -- never claimed
  end
  known[id] = r
  return r
end

-- Reads the next `count` children.
local child_at, parts_at = 1, 1
local function read(count)
  local found, bytes_of = {}, 0
  for i = 1, count do
    local layout.NEW_JOB.fields = sunpack(layout.NEW_JOB.format, children, child_at)
    local content_at = parts_at + layout.NEW_JOB.before.content
    local blob_at = parts_at + layout.NEW_JOB.before.blob
    found[i] = {
      id = id, priority = priority, max_attempts = max_attempts, delay = delay_ms,
      name_size = name_size, trace_size = trace_size, attributes_size = attributes_size,
      content = ssub(content_of, content_at, content_at + content_size - 1),
      blob = blob_size > 0 and ssub(content_of, blob_at, blob_at + blob_size - 1) or nil,
    }
    bytes_of = bytes_of + body_size
    child_at, parts_at = child_at + CHILD, parts_at + layout.NEW_JOB.parts_size
  end
  return found, bytes_of
end

-- Why the children of a job are refused, nil if they are not.
local function refusal(r, count, bytes_of)
  if closed > 0 then return 'the endpoint is being deleted' end
  if depth + count > 2 * max_depth then
    return string.format('with its %d jobs more than 2 x maxDepth = %.0f would wait', count,
      2 * max_depth)
  end
  if bytes + added - freed - r.body_size + bytes_of > max_bytes then
    return string.format('with its %d jobs more than maxBytes = %.0f would be stored', count,
      max_bytes)
  end
end

local function create(child)
  local id, name_at = child.id, layout.JOB.before.name + 1
  local delayed_by, own_seq = child.delay, 0
  if delayed_by == 0 then
    next_seq = next_seq + 1
    own_seq = next_seq
  end
  local job = new_job(child.priority, own_seq, child.max_attempts, child.name_size,
    child.trace_size, child.attributes_size, child.blob) .. child.content
  local name = ssub(child.content, name_at, name_at + child.name_size - 1)
  batch.add(set_jobs, id, job)
  if child.blob then batch.add(set_blobs, id, child.blob) end
  if delayed_by > 0 then
    local r = record.decode_job(job)
    r.state, r.not_before, r.ttl_from = SCHEDULED, now + delayed_by, r.ttl_from + delayed_by
    batch.add(set_runs, id, record.encode_run(r))
    batch.add(set_delayed, now + delayed_by, id)
    if due_soon(delayed_by) then returns.soon = 1 end
    counters.bump(SCHEDULED, name, 1)
    local carried = key_depth and record.attributes(job)
    if carried then key_depth.add(id, carried.key) end
  else
    batch.add(set_ready[child.priority], next_seq, id)
    counters.bump(QUEUED, name, 1)
    returns.queued = returns.queued + 1
  end
  events.add(id, 1)
end

-- Completes a job with its children, or fails it without them.
local function settle(id, r, result, found, bytes_of)
  local why = refusal(r, #found, bytes_of)
  returns.drop_held(id, r)
  if why then
    r.error = finish.error_text('enqueue-refused', why, false)
    finish.run(r, 3, r.error)
    finish.job(id, r, FAILED)
  else
    for _, child in ipairs(found) do create(child) end
    depth, created, added = depth + #found, created + #found, added + bytes_of
    finish.run(r, 1)
    r.error = ''
    if #result > INLINE_RESULT then batch.add(set_results, id, result) else r.result = result end
    finish.job(id, r, COMPLETED)
  end
  freed = freed + r.body_size
  save.run(id, r)
end

local result_parts_at = 1
for i = 1, n do
  local layout.OUTCOME.fields = sunpack(layout.OUTCOME.format, items, (i - 1) * ITEM + 1)
  local result_at = result_parts_at + layout.OUTCOME.before.result
  local result = ssub(results_of, result_at, result_at + result_size - 1)
  local found, bytes_of = read(sbyte(counts_of, i))
  local r = load(i, id)
  if not r then
    answers[i] = 'g-'
  elseif r.why == 'corrupt' then
    answers[i] = 'c4'
  elseif r.claim ~= claim or r.worker ~= ARGV[6 + worker_index] then
    counters.tally('stale', 1)
    answers[i] = 's' .. r.state
  elseif r.state ~= IN_PROGRESS then
    answers[i] = 'd' .. r.state
  else
    if safety > 0 then return redis.error_reply('AEPTIMER at rest') end
    settle(id, r, result, found, bytes_of)
    answers[i] = 'a' .. r.state
  end
  result_parts_at = result_parts_at + layout.OUTCOME.parts_size
end

-- The first write has to be one that full memory refuses: then nothing is written.
batch.flush(set_jobs)
batch.flush(set_runs)
batch.flush(set_blobs)
returns.queued = returns.queued - lines.add(set_ready)
batch.flush(set_delayed)
batch.flush(set_results)
if created > 0 then
  counters.tally('created', created)
  call('HSET', meta, 'seq', string.format('%.0f', next_seq))
  call('HINCRBY', meta, 'bytes', string.format('%.0f', added))
end
returns.flush()
return table.concat(answers)
