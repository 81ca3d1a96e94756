-- Live counts by state and name, and the counters that only grow, each written once a batch.
local by_name, sums = {}, {}

local function bump(state, name, by)
  local field = state .. name
  by_name[field] = (by_name[field] or 0) + by
end

local function tally(counter, by)
  sums[counter] = (sums[counter] or 0) + by
end

local function flush_counts()
  for field, by in pairs(by_name) do
    if by ~= 0 and call('HINCRBY', counts, field, by) <= 0 then call('HDEL', counts, field) end
  end
  for counter, by in pairs(sums) do
    if by ~= 0 then call('HINCRBY', totals, counter, string.format('%.0f', by)) end
  end
end
