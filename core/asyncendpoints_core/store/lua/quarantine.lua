-- quarantine: keep records that cannot be read in `corrupt`, fail their jobs, and drop ids without a
-- record. Rare, so it may search every queue.
-- KEYS: meta jobs runs blobs ready:high ready:normal ready:low suspects delayed held expiries
--   finished:completed finished:failed finished:canceled corrupt cancels counts totals watch
-- META: tick safety
-- LIB: record counters events finish save corrupt_records guard
-- FEATURELIB: outbox gate
-- FEATURES: jobs WEBHOOKS GATE
-- FEATUREMETA: webhook_states webhook_pending gated
-- ARGV: 1 ids, 2 '1' when the client cannot read the request though the state is sound
-- RETURNS: how many
local INDEXES = {
  {ready_high, QUEUED}, {ready_normal, QUEUED}, {ready_low, QUEUED}, {suspects, QUEUED},
  {delayed, SCHEDULED}, {finished_completed, COMPLETED}, {finished_failed, FAILED},
  {finished_canceled, CANCELED},
}
local done = 0

local function holder_of(id)
  local cursor = '0'
  repeat
    local page = call('ZSCAN', held, cursor, 'COUNT', 1000)
    for i = 1, #page[2], 2 do
      if record.held_id(page[2][i]) == id then return page[2][i] end
    end
    cursor = page[1]
  until cursor == '0'
end

-- The sorted set that has it, its member there, and its state.
local function find_index(id)
  for _, index in ipairs(INDEXES) do
    if call('ZSCORE', index[1], id) then return index[1], id, index[2] end
  end
  if gate and call('HEXISTS', gate_flows, id) == 1 then return gate_keyed, id, QUEUED end
  local member = holder_of(id)
  if member then return held, member, IN_PROGRESS end
end

for _, id in ipairs(record.split_ids(ARGV[1])) do
  local job, run = call('HGET', jobs, id), call('HGET', runs, id)
  local r, why, bad = nil, nil, job
  if run then
    r, why = record.decode_run(run)
    if why then bad = run end
  end
  if job and not why then
    local made, made_why = record.decode_job(job)
    r, why = r or made, made_why
  end
  local key, entry, state = find_index(id)
  if why ~= 'newer' and (why or not job and key or job and ARGV[2] == '1') then
    if gate and state == IN_PROGRESS then gate.free(id) end
    if gate and state == QUEUED and key ~= suspects then
      gate.remove(id)
    elseif key then
      call('ZREM', key, entry)
    end
    call('ZREM', expiries, id)
    call('HDEL', cancels, id)
    if not job then
      corrupt_records.drop_missing(state)
      call('HDEL', runs, id)
    else
      if r and state and state < COMPLETED then finish.free(r.body_size) end
      corrupt_records.keep(id, bad, state or FAILED, ARGV[2] ~= '1' and job or nil)
      done = done + 1
    end
    call('HDEL', blobs, id)
  end
end
if gate then gate.flush() end
save.flush()
corrupt_records.flush()
finish.flush()
counters.flush()
events.publish()
for _, key in ipairs({jobs, runs, finished_failed, corrupt, counts, totals}) do guard(key) end
if outbox then outbox.put_on_timer(guard) end
return done
