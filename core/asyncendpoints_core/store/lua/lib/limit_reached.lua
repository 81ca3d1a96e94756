-- Which limit holds a waiting job back now: k, j or t (of its key, its name, or all jobs) and c or r
-- (concurrency or rate); empty when none does.
-- LIB: record limiting
-- IF: gated > 0
local function limit_reached(job)
  local made, carried = record.decode_job(job), record.attributes(job)
  if not made then return '' end
  for _, resource in ipairs({'k' .. (carried and carried.key or ''), 'j' .. made.name, 't'}) do
    local why = limiting.full(resource)
    if why and why ~= 'p' then return ssub(resource, 1, 1) .. why end
  end
  return ''
end
return limit_reached
