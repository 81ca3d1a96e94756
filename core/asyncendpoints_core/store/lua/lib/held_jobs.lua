-- The jobs that a worker holds: reading them, and giving them back.
-- LIB: record finish save returns
local held_jobs = {}
local MOST_HELD = 500

-- Returns {id, job} of each in the order they were claimed, the ids that cannot be read, one after
-- the other, and whether there are more than one call handles.
function held_jobs.read(worker)
  local members = call('ZRANGEBYLEX', held, '[' .. worker .. '\0', '(' .. worker .. '\1',
    'LIMIT', 0, MOST_HELD)
  local list, unreadable = {}, {}
  if #members == 0 then return list, '', false end
  local ids = {}
  for i, member in ipairs(members) do ids[i] = record.held_id(member) end
  for i, run in ipairs(call('HMGET', runs, unpack(ids))) do
    local r, why
    if run then r, why = record.decode_run(run) end
    if why == 'corrupt' or not run then
      unreadable[#unreadable + 1] = ids[i]
    elseif r and r.state == IN_PROGRESS and r.worker == worker then
      list[#list + 1] = {ids[i], r}
    end
  end
  return list, table.concat(unreadable), #members == MOST_HELD
end

-- A job whose cancel was requested ends; any other goes back to its old position.
function held_jobs.give_back(id, r, started, charged, outcome)
  returns.drop_held(id, r)
  if r.cancel_requested_at > 0 then
    if started then finish.run(r, 7) end
    r.error = ''
    finish.job(id, r, CANCELED)
  elseif not returns.take_back(id, r, started, charged, outcome) then
    returns.requeue(id, r)
  end
  save.run(id, r)
end

return held_jobs
