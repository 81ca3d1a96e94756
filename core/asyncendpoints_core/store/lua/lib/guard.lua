-- Puts a key that a script may have created on the timer of an idle endpoint: see timer.lua.
local function guard(key)
  if safety > now and call('PTTL', key) == -1 then
    call('PEXPIREAT', key, string.format('%.0f', safety))
  end
end
return guard
