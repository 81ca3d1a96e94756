-- What a worker holds, read whole; and giving it back.
local MOST_HELD = 500

-- Returns {id, job} of each in the order they were claimed, the ids that cannot be read, one after
-- the other, and whether there are more than one call handles. Drops ids without a record.
local function read_held(worker)
  local members = call('ZRANGEBYLEX', held, '[' .. worker .. '\0', '(' .. worker .. '\1',
    'LIMIT', 0, MOST_HELD)
  local list, unreadable = {}, {}
  if #members == 0 then return list, '', false end
  local ids = {}
  for i, member in ipairs(members) do ids[i] = ssub(member, -16) end
  for i, record in ipairs(call('HMGET', jobs, unpack(ids))) do
    local r, why
    if record then r, why = decode(record) end
    if not record then
      drop_missing(RUNNING)
      add(off_running, ids[i])
      add(off_held, members[i])
    elseif why == 'corrupt' then
      unreadable[#unreadable + 1] = ids[i]
    elseif r and r.state == RUNNING and r.worker == worker then
      list[#list + 1] = {ids[i], r}
    end
  end
  table.sort(list, function(a, b) return a[2].claim < b[2].claim end)
  return list, table.concat(unreadable), #members == MOST_HELD
end

-- A job whose cancel was asked for ends; any other goes back to its old place.
local function give_back(id, r, started, charged, outcome)
  leave(id, r)
  if r.cancel > 0 then
    if started then end_run(r, 7) end
    r.error = ''
    finish(id, r, CANCELED)
  elseif not take_back(id, r, started, charged, outcome) then
    requeue(id, r)
  end
  save(id, r)
end
