-- A key that a script may have made anew ends with the others of an endpoint at rest: see rest.lua.
local function guard(key)
  if safety > now and call('PTTL', key) == -1 then
    call('PEXPIREAT', key, string.format('%.0f', safety))
  end
end
