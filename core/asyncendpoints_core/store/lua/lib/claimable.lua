-- How many idle workers to wake for what waits: one for each ready job, and one for what may run alone
-- or what a time or a limit makes ready within a second.
-- LIB: ready
local function claimable()
  local soon, others = string.format('%.0f', now + 999), 0
  for _, key in ipairs({suspects, delayed, gate_times}) do
    others = others + call('ZCOUNT', key, '-inf', soon)
  end
  return ready.count() + math.min(1, others)
end
return claimable
