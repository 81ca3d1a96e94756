-- uncordon: remove a requester's own cordon of workers.
-- KEYS: meta workers marks idle bell ready:high ready:normal ready:low suspects delayed gate:times
-- META: tick safety paused closed
-- LIB: wake_up claimable guard cordons
-- ARGV: 1 requester, 2… the workers
-- RETURNS: nothing
-- A wait that began before the cordon may go on.
local WAIT_MS = 1500
for i = 2, #ARGV do
  local field = 'c' .. ARGV[i]
  local kept, any = {}, false
  for who, ends in pairs(cordons.read(call('HGET', marks, field))) do
    if who ~= ARGV[1] then kept[who], any = ends, true end
  end
  if any then
    call('HSET', marks, field, cmsgpack.pack(kept))
  else
    call('HDEL', marks, field)
    if call('ZSCORE', workers, ARGV[i]) then
      call('ZADD', idle, string.format('%d', now + WAIT_MS), ARGV[i])
    end
  end
end
guard(idle)
wake_up(claimable())
return 0
