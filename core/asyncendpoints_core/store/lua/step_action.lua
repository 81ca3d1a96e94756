-- step_action: go on with an action on many jobs: look at some of them, and act on those that match.
-- KEYS: meta jobs runs blobs results ready:high ready:normal ready:low suspects delayed held expiries
--   finished:completed finished:failed finished:canceled cancels corrupt counts totals gone idle bell
--   actions watch
-- META: tick safety seq bytes paused suspended closed max_depth max_bytes ttl_ms completed_ms failed_ms
-- LIB: record counters events wake_up canceling redriving remove guard matching descending actions
-- FEATURES: jobs WEBHOOKS locks schedules fired GATE logs logs:times
-- FEATUREMETA: webhook_states webhook_pending gated log_bytes
-- ARGV: 1 its id
-- RETURNS: the action's reply, empty without it
local LOOK = 25
-- Of the queue's limits, what retries leave to clients is the rest.
local SHARE = 0.9
local SECTIONS = {
  scheduled = delayed, suspects = suspects, high = ready_high, normal = ready_normal, low = ready_low,
  completed = finished_completed, failed = finished_failed, canceled = finished_canceled,
  keyed = gate and gate_order,
}
local a = actions.read(ARGV[1])
if not a or a.state ~= 'Running' then return actions.reply(a) end
local dry, by_ids, id_size = a.dry == '1', a.sections == '', layout.IDS.size
local sections, tags = {}, {}
for section in string.gmatch(a.sections, '[^,]+') do sections[#sections + 1] = section end
-- With keys or limits the lines have scores that change: their jobs are read by age.
if gate and string.find(a.sections, 'normal', 1, true) then sections[#sections + 1] = 'keyed' end
for tag in string.gmatch(a.tags, '[^,]+') do tags[#tags + 1] = tag end
local shown = matching({
  name = a.name, key = a.key, schedule = a.schedule, code = a.code, since = a.since, before = a.before,
  tags = tags,
})

-- Whether the action may take a job: it was as it had to be before the action began.
local function eligible(r)
  if r.created_at > a.begun then return false end
  if a.kind ~= 'cancel' then
    if r.state <= IN_PROGRESS or r.completed_at > a.begun then return false end
    return a.kind == 'purge' or redriving.possible(r)
  end
  if r.state > IN_PROGRESS or r.cancel_requested_at > 0 then return false end
  return a.only_state == ''
    or (r.state == IN_PROGRESS and r.started_at or r.updated_at) <= a.begun
end

-- Some entries of a section, below where the action stands: each its score there, and its id.
local function read_held()
  local found = {}
  local from = a.below == '' and '[\1' or '(' .. a.below
  for i, member in ipairs(call('ZRANGEBYLEX', held, from, '+', 'LIMIT', 0, LOOK)) do
    found[i] = {0, member, record.held_id(member)}
  end
  return found
end
local function read_sorted(key)
  local apart = gate and key ~= gate_order and gate_order
  local found, reader = {}, descending.open(key, tonumber(a.number), a.below, apart)
  while #found < LOOK do
    local pair = reader.peek()
    if not pair then break end
    found[#found + 1] = {pair[1], pair[2], pair[2]}
    reader.next = reader.next + 1
  end
  return found
end
local function read_ids()
  local found, at = {}, tonumber(a.number) or 0
  for i, id in ipairs(record.split_ids(ssub(a.ids, at * id_size + 1, (at + LOOK) * id_size))) do
    found[i] = {at + i, '', id}
  end
  return found
end

-- The next entries, none at the end. What moved meanwhile may have been missed: cancels begin again
-- until they find nothing.
local function read_next()
  if by_ids then return read_ids() end
  while true do
    local section = sections[a.section]
    if section then
      local found = section == 'running' and read_held() or read_sorted(SECTIONS[section] or held)
      if #found > 0 then return found end
      a.section = a.section + 1
    elseif a.kind == 'cancel' and not dry and a.found > 0 and a.pass < MAX_PASSES then
      a.section, a.pass, a.found = 1, a.pass + 1, 0
    else
      return {}
    end
    a.number, a.below = '', ''
  end
end

-- Acts on a job; returns whether the action can go on.
local function act(id, r, job)
  if a.kind == 'cancel' then
    canceling.job(id, r)
  elseif a.kind == 'purge' then
    remove.job(id, r.state, r.name, r.revision)
  else
    local letter = redriving.job(id, r, job, SHARE)
    if letter == 'f' or letter == 'x' then return false end
    if letter ~= 'q' then
      a.skipped = a.skipped + 1
      return true
    end
  end
  a.done = a.done + 1
  return true
end

local entries, seen = read_next(), {}
a.stepped, a.waiting = now, ''
if #entries > 0 then
  local ids = {}
  for i, entry in ipairs(entries) do ids[i] = entry[3] end
  local stored, ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
  for i, entry in ipairs(entries) do
    local id = ids[i]
    local r = stored[i] and not seen[id] and record.decode(stored[i], ran[i])
    local taken = r and eligible(r) and (by_ids or shown(stored[i], r))
    seen[id] = true
    if taken and not dry and not act(id, r, stored[i]) then
      a.waiting = '1'
      break
    end
    if taken and not by_ids then a.matched, a.found = a.matched + 1, a.found + 1 end
    if by_ids and not taken then a.skipped = a.skipped + 1 end
    a.number, a.below = string.format('%.0f', entry[1]), entry[2]
  end
  -- What is claimed meanwhile is added to the running jobs: it must not be followed without end.
  if #entries < LOOK and a.waiting == '' and not by_ids then
    a.section, a.number, a.below = a.section + 1, '', ''
  end
end
if redriving.requeued > 0 and safety > 0 then return redis.error_reply('AEPTIMER at rest') end
redriving.flush()
canceling.flush()
remove.flush()
counters.flush()
wake_up(redriving.startable)
events.publish()
if #entries == 0 then actions.finish(a, 'Done') end
if a.waiting ~= '' and closed > 0 then actions.finish(a, 'Aborted') end
actions.write(a, 'state', 'ended', 'stepped', 'matched', 'done', 'skipped', 'waiting', 'section',
  'number', 'below', 'pass', 'found', 'ids')
guard(action_fields)
guard(tombstones)
if event_receivers then guard(outbox_receivers) end
return actions.reply(a)
