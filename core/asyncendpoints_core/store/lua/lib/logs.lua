-- Logs of jobs: of each job that has any one value, a LOG for each claim, the oldest first. Those of
-- the endpoint take at most a budget of bytes.
-- LIB: batch
local logs = {}
local DROP_BOUND = 500
local off_records, off_times = batch.new('HDEL', log_records), batch.new('ZREM', logs_times)
local freed = 0
local known, sizes = {}, {}

-- Drops the logs of a job.
function logs.forget(id)
  if log_bytes == 0 then return end
  local size = call('HSTRLEN', log_records, id)
  if size == 0 then return end
  freed = freed + size
  batch.add(off_records, id)
  batch.add(off_times, id)
end

function logs.flush()
  batch.flush(off_records)
  batch.flush(off_times)
  if freed == 0 then return end
  log_bytes, freed = log_bytes - freed, 0
  call('HSET', meta, 'log_bytes', string.format('%.0f', log_bytes))
end

local function read(id)
  if known[id] then return known[id] end
  local value, list, at = call('HGET', log_records, id) or '', {}, 1
  while at + layout.LOG.size - 1 <= #value do -- what cannot be read is dropped
    local layout.LOG.fields = sunpack(layout.LOG.format, value, at)
    local text_at = at + layout.LOG.size
    at = text_at + size
    list[#list + 1] = {
      claim = claim, attempt = attempt, cut = cut, written = written,
      text = ssub(value, text_at, at - 1),
    }
  end
  known[id], sizes[id] = list, #value
  return list
end

-- Adds lines to the log of a claim, which keeps the last `limit` bytes. `position` is where they
-- begin: what is there already was sent before.
function logs.add(id, claim, attempt, position, text, limit)
  local list, log = read(id), nil
  for _, each in ipairs(list) do
    if each.claim == claim then log = each end
  end
  if not log then
    log = {claim = claim, attempt = attempt, cut = 0, written = 0, text = ''}
    list[#list + 1] = log
    if #list > MAX_ATTEMPTS_KEPT then table.remove(list, 1) end
  end
  local there = log.written - position
  if there < 0 then log.cut = 1 end -- dropped since for lack of room
  log.text = log.text .. ssub(text, math.max(there, 0) + 1)
  log.written = math.max(log.written, position + #text)
  if #log.text > limit then
    local ends = string.find(log.text, '\n', #log.text - limit, true) or #log.text
    log.text, log.cut = ssub(log.text, ends + 1), 1
  end
end

function logs.drop(id, claim)
  local list = read(id)
  for i = #list, 1, -1 do
    if list[i].claim == claim then table.remove(list, i) end
  end
end

local function bytes_of(list)
  local parts = {}
  for i, log in ipairs(list) do
    local layout.LOG.fields = log.claim, log.attempt, log.cut, log.written, #log.text
    parts[i] = spack(layout.LOG.format, layout.LOG.fields) .. log.text
  end
  return table.concat(parts)
end

-- Writes what was changed, then drops what was written to least recently, beyond `budget` bytes.
function logs.save(budget)
  local on_records, on_times = batch.new('HSET', log_records), batch.new('ZADD', logs_times)
  for id, list in pairs(known) do
    local value = bytes_of(list)
    freed = freed + sizes[id] - #value
    if value ~= '' then
      batch.add(on_records, id, value)
      batch.add(on_times, string.format('%.0f', now), id)
    elseif sizes[id] > 0 then
      batch.add(off_records, id)
      batch.add(off_times, id)
    end
  end
  batch.flush(on_records)
  batch.flush(on_times)
  logs.flush()
  if log_bytes <= budget then return end
  for _, id in ipairs(call('ZRANGE', logs_times, 0, DROP_BOUND - 1)) do
    if log_bytes - freed <= budget then break end
    logs.forget(id)
  end
  logs.flush()
end

return logs
