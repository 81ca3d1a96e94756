-- Live counts by state and name, and the counters that only grow, each written once a batch.
local counters = {by_name = {}, sums = {}}
local by_name, sums = counters.by_name, counters.sums

function counters.bump(state, name, by)
  local field = state .. name
  by_name[field] = (by_name[field] or 0) + by
end

function counters.tally(counter, by)
  sums[counter] = (sums[counter] or 0) + by
end

function counters.flush()
  for field, by in pairs(by_name) do
    if by ~= 0 and call('HINCRBY', counts, field, by) <= 0 then call('HDEL', counts, field) end
  end
  for counter, by in pairs(sums) do
    if by ~= 0 then call('HINCRBY', totals, counter, string.format('%.0f', by)) end
  end
end

return counters
