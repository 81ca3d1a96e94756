-- Who stopped claims, as bits: 1 the resource, 2 a person. What an older program stopped was the
-- resource's. `paused` in meta is since when, whoever it was.
local function stoppers()
  return paused > 0 and math.max(1, stopped_by) or 0
end
return stoppers
