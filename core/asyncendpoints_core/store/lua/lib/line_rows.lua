-- What stands first in a line of flows, with all that a claim needs of it.
-- LIB: ready
-- LAZY:
local line_rows = {}

-- The scores of ids that follow each other in a line from `from` on, as text. To write many costs
-- Redis more than to find that they are the same, as with many keys most are.
local function scores_of(line, ids, from)
  local n, scores = #ids, {}
  local first = call('ZSCORE', ready[line], ids[1])
  if n == 1 or call('ZSCORE', ready[line], ids[n]) == first then
    for i = 1, n do scores[i] = first end
    return scores
  end
  local found = call('ZRANGE', ready[line], from, from + n - 1, 'WITHSCORES')
  for i = 1, n do scores[i] = found[2 * i] end
  return scores
end

-- Reads what is next in a line, as Redis has it.
function line_rows.read(line, view, most)
  local from = view.read
  local ids = call('ZRANGE', ready[line], from, from + most - 1)
  local n = #ids
  view.ids, view.at, view.n, view.more, view.read = ids, 1, n, n == most, from + n
  if n == 0 then return end
  view.stored, view.ran = call('HMGET', jobs, unpack(ids)), call('HMGET', runs, unpack(ids))
  view.entries, view.scores = call('HMGET', gate_flows, unpack(ids)), scores_of(line, ids, from)
  view.score, view.horizon = tonumber(view.scores[1]), tonumber(view.scores[n])
end

return line_rows
