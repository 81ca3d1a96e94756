-- open: check the format, and write what is missing: the schema and the policy of the defaults.
-- KEYS: all
-- META: tick safety
-- LIB: timer keep_skip_list
-- FLAGS: bare
-- ARGV: 1 schema, then field and value of the policy
-- RETURNS: the schema found
local schema = call('HGET', meta, 'schema')
if schema then return schema end
call('HSET', meta, 'schema', ARGV[1], unpack(ARGV, 2))
keep_skip_list()
timer.update()
return ARGV[1]
