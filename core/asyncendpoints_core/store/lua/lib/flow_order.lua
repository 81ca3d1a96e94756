-- Flows of a line in the order in which they start, as Redis would have them.
-- LAZY:
local flow_order = {}

-- As Redis orders members of a sorted set that have the same score.
local function id_before(a, b)
  local a1, a2, a3 = sunpack('>I6I6I4', a)
  local b1, b2, b3 = sunpack('>I6I6I4', b)
  if a1 ~= b1 then return a1 < b1 end
  if a2 ~= b2 then return a2 < b2 end
  return a3 < b3
end

function flow_order.before(id, score, f)
  if score ~= f.score then return score < f.score end
  return id_before(id, f.id)
end

function flow_order.insert(view, f)
  local own, low, last, id, score = view.own, view.first, view.last, f.id, f.score
  local high = last
  view.last = last + 1
  if low == high or not flow_order.before(id, score, own[last - 1]) then
    own[last] = f
    return
  end
  while low < high do
    local middle = floor((low + high) / 2)
    if flow_order.before(id, score, own[middle]) then high = middle else low = middle + 1 end
  end
  for i = last, low + 1, -1 do own[i] = own[i - 1] end
  own[low] = f
end

return flow_order
