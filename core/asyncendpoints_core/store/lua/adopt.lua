-- adopt: hand the keys of a deleted endpoint to a new one of the same name, and accept jobs again.
-- KEYS: all
-- META: tick safety paused closed
-- LIB: wake_up claimable timer
-- ARGV: 1 installation, 2 uid until now, 3 uid from now on
-- RETURNS: 1, or 0 when they have another owner
local owner = call('HMGET', meta, 'installation', 'uid')
if owner[1] ~= ARGV[1] or (owner[2] ~= ARGV[2] and owner[2] ~= ARGV[3]) then return 0 end
call('HSET', meta, 'uid', ARGV[3])
call('HDEL', meta, 'closed', 'purged')
timer.update()
if closed > 0 then
  closed = 0
  wake_up(claimable())
end
return 1
