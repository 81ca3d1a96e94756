-- The lines of ready jobs, and with keys or limits what waits behind them.
-- LIB: batch
-- FEATURELIB: gate gate_data limiting
local lines = {}

-- How many ready jobs are in no line.
function lines.behind()
  return gate and call('ZCARD', gate_keyed) or 0
end

-- Sends a ZADD for each line. Returns how many of the jobs a limit holds back.
function lines.add(batches)
  local added = 0
  for priority = 0, 2 do added = added + (batches[priority].n - 2) / 2 end
  if gate and added > 0 then
    local behind = gate.add_all(batches)
    return limiting.full('t') == 'c' and added or behind
  end
  batch.flush_each(batches)
  if gate_data then gate_data.write() end
  return 0
end

-- Sends a ZREM for each line.
function lines.remove(batches)
  if gate then return gate.remove_all(batches) end
  batch.flush_each(batches)
end

return lines
