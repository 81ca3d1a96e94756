-- stats: the live figures, all O(1) or bounded.
-- KEYS: meta jobs runs ready:high ready:normal ready:low suspects delayed held
--   finished:completed finished:failed finished:canceled workers marks counts totals schedules
--   gate:keyed gate:flows gate:parked gate:order gate:places gate:usage gate:limits gate:buckets
--   pauses
-- META: tick bytes paused stopped_by closed features_held
-- LIB: ready record cordons held_count stoppers pauses startable
-- FLAGS: read
-- RETURNS: numbers: now, Queued, Scheduled, InProgress, Completed, Failed, Canceled, suspects, oldest,
--   bytes, held by workers that take more, workers, who stopped claims, closed, since when
--   features wait for older workers, Queued ones that no limit holds back; counts; totals; due times;
--   each schedule and SCHEDULE; names of jobs that are paused
local oldest = 0
local heads = {}
for _, key in ipairs({ready_high, ready_normal, ready_low, suspects, gate_order}) do
  heads[#heads + 1] = call('ZRANGE', key, 0, 0)[1]
end
for _, id in ipairs(heads) do
  local r = record.decode(call('HGET', jobs, id), call('HGET', runs, id))
  if r and (oldest == 0 or r.updated_at < oldest) then oldest = r.updated_at end
end
local by_name, under_way = call('HGETALL', counts), 0
for i = 1, #by_name, 2 do
  if string.byte(by_name[i]) == 48 + IN_PROGRESS then under_way = under_way + by_name[i + 1] end
end
local active, away, marked = under_way, {}, call('HGETALL', marks)
for i = 1, #marked, 2 do
  local worker, draining = ssub(marked[i], 2), ssub(marked[i], 1, 1) == 'd'
  if not away[worker] and (draining or cordons.last(marked[i + 1]) > 0) then
    away[worker] = true
    active = active - held_count(worker)
  end
end
local due = call('ZRANGE', delayed, 0, 99, 'WITHSCORES')
local times, stopped = {}, {}
for name in pairs(pauses.stopped) do stopped[#stopped + 1] = name end
for i = 1, #due, 2 do
  local r = stopped[1] and record.decode_run(call('HGET', runs, due[i]) or '')
  if not (r and pauses.stopped[r.name]) then times[#times + 1] = tonumber(due[i + 1]) end
end
local waiting_alone = call('ZCARD', suspects)
local queued = ready.count() + call('ZCARD', gate_keyed) + waiting_alone
return {
  {
    now, queued,
    call('ZCARD', delayed), under_way, call('ZCARD', finished_completed),
    call('ZCARD', finished_failed), call('ZCARD', finished_canceled), waiting_alone, oldest, bytes,
    active, call('ZCARD', workers), stoppers(), closed > 0 and 1 or 0, features_held,
    startable(queued),
  },
  by_name, call('HGETALL', totals), times, call('HGETALL', schedules), stopped,
}
