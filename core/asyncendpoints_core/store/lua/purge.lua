-- purge: remove every key of a closed queue. UNLINK frees in the background, so one call is all.
-- What stays for a day is that it is closed: a late client must not bring the keys back.
-- KEYS: all
-- META: tick closed
-- RETURNS: 1, or 0 when it is not closed
local TOMBSTONE_MS = 86400000
if closed == 0 then return 0 end
local owner = call('HMGET', meta, 'schema', 'installation', 'uid')
call('UNLINK', unpack(KEYS))
call('HSET', meta, 'schema', owner[1], 'closed', 1, 'purged', 1, 'tick',
  string.format('%.0f', tick), 'safety', string.format('%.0f', now + TOMBSTONE_MS))
if owner[2] then call('HSET', meta, 'installation', owner[2], 'uid', owner[3]) end
call('PEXPIRE', meta, TOMBSTONE_MS)
return 1
