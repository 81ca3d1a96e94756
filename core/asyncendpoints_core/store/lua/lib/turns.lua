-- Whose turn it is among the priorities: 6 : 3 : 1, spread evenly, so that no queue waits longer than it
-- must. `cursor` is the next slot.
local turns = {}
local SLOTS = {[0] = 0, 0, 1, 0, 0, 1, 0, 2, 0, 1}
local SHARE = {[0] = 6, 3, 1}

-- Moves the cursor as `count` jobs of one line do, one after the other.
function turns.advance(line, count)
  if count > SHARE[line] then count = (count - 1) % SHARE[line] + 1 end
  for _ = 1, count do
    repeat cursor = (cursor + 1) % 10 until SLOTS[(cursor + 9) % 10] == line
  end
end

-- The lines of the next `count` jobs, and how many each has of them.
function turns.order(count, waiting)
  local order, quota = {}, {[0] = 0, 0, 0}
  local slot = cursor
  for i = 1, count do
    local line
    repeat
      line = SLOTS[slot]
      slot = (slot + 1) % 10
    until waiting[line] > quota[line]
    quota[line] = quota[line] + 1
    order[i] = line
  end
  return order, quota
end

-- The line of the next job that is not passed over, nil without one.
function turns.next_line(waiting, passed)
  for step = 0, 9 do
    local line = SLOTS[(cursor + step) % 10]
    if waiting[line] > passed[line] then return line end
  end
end

return turns
