-- Wakes as many waiting workers as there are new ready jobs; pending wake-ups count.
local function wake_up(jobs_ready)
  if jobs_ready <= 0 or paused > 0 or closed > 0 then return end
  local waiters = call('ZCOUNT', idle, string.format('%d', now), '+inf')
  if waiters == 0 then return end
  local wake_ups = math.min(jobs_ready, waiters - call('LLEN', doorbell))
  if wake_ups <= 0 then return end
  local b = {'RPUSH', doorbell}
  for i = 1, math.min(wake_ups, 500) do b[i + 2] = '1' end
  call(unpack(b))
end
return wake_up
