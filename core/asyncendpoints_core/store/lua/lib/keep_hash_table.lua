-- Redis keeps a hash of up to 512 short entries as a packed list that is searched from its head. One
-- entry of over 64 bytes makes it a table, which it stays when that entry is gone.
local LONG, MOST = string.rep('-', 65), 512
local function keep_hash_table(key)
  local size = call('HLEN', key)
  if size == 0 or size > MOST then return end
  call('HSET', key, '', LONG)
  call('HDEL', key, '')
end
return keep_hash_table
