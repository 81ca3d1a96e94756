-- Wakes as many waiting workers as there are new ready jobs; rings not yet heard count.
local function ring(jobs_ready)
  if jobs_ready <= 0 or paused > 0 then return end
  local waiters = call('ZCOUNT', idle, string.format('%.0f', now), '+inf')
  if waiters == 0 then return end
  local rings = math.min(jobs_ready, waiters - call('LLEN', bell))
  if rings <= 0 then return end
  local b = {'RPUSH', bell}
  for i = 1, math.min(rings, 500) do b[i + 2] = '1' end
  call(unpack(b))
end
