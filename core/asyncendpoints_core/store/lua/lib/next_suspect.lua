-- The first suspect that may run now, nil without one; unreadable ones go into the batch `off`.
-- LIB: batch record corrupt_records queue
-- FEATURELIB: gate pauses
local function next_suspect(off)
  local eligible = call('ZRANGEBYSCORE', suspects, '-inf', string.format('%d', now), 'LIMIT', '0',
    queue.LOOK_AHEAD)
  for _, id in ipairs(eligible) do
    local job, run = call('HGET', jobs, id), call('HGET', runs, id)
    local r, why = record.decode(job, run or '')
    if not job then
      corrupt_records.drop_missing(QUEUED)
      batch.add(off, id)
    elseif why == 'corrupt' then
      corrupt_records.keep(id, run or job, QUEUED, job)
      batch.add(off, id)
    elseif r and not (pauses and pauses.stopped[r.name]) and (not gate or gate.allows(id)) then
      return id
    end
  end
end
return next_suspect
