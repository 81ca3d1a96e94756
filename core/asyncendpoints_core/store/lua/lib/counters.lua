-- Live counts by state and name, and the counters that only grow, each written once a batch.
local counters = {sums = {}}
local by_state, sums = {}, counters.sums

-- Hot: a field's name is made once a batch, since making text of a number is slow.
function counters.bump(state, name, by)
  local names = by_state[state]
  if not names then
    names = {}
    by_state[state] = names
  end
  names[name] = (names[name] or 0) + by
end

-- How much was added to a field of the counts that is not written yet.
function counters.added(field)
  local names = by_state[sbyte(field) - 48]
  return names and names[ssub(field, 2)] or 0
end

function counters.tally(counter, by)
  sums[counter] = (sums[counter] or 0) + by
end

-- Those of a call of one job are made already.
local function text(by)
  return by == 1 and '1' or by == -1 and '-1' or string.format('%d', by)
end

function counters.flush()
  for state, names in pairs(by_state) do
    for name, by in pairs(names) do
      local field = state .. name
      if by ~= 0 and call('HINCRBY', counts, field, text(by)) <= 0 then call('HDEL', counts, field) end
    end
  end
  for counter, by in pairs(sums) do
    if by ~= 0 then call('HINCRBY', totals, counter, text(by)) end
  end
end

return counters
