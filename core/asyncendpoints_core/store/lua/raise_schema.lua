-- raise_schema: allow what scripts of an older schema do not know, unless a worker has only these.
-- KEYS: meta winfo
-- META: tick features_held
-- ARGV: 1 the schema
-- RETURNS: how many workers know only an older one; 0 when it was raised, now or before
-- `features_held`: since when a feature is wanted that waits for these workers to go.
local wanted, older = tonumber(ARGV[1]), 0
if tonumber(M[1]) >= wanted then return 0 end
local infos = call('HGETALL', worker_info)
for i = 2, #infos, 2 do
  local ok, info = pcall(cmsgpack.unpack, infos[i])
  local schema = ok and type(info) == 'table' and tonumber(info.schema) or 1
  if schema < wanted then older = older + 1 end
end
if older == 0 then
  call('HSET', meta, 'schema', ARGV[1])
  call('HDEL', meta, 'features_held')
elseif features_held == 0 then
  call('HSET', meta, 'features_held', now)
end
return older
