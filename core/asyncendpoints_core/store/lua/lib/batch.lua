-- Writes collected while everything is read and checked, then made one variadic command a key.
local function batch(command, key)
  return {command, key, n = 2}
end

local function add(b, x, y)
  local n = b.n + 1
  b[n] = x
  if y then
    n = n + 1
    b[n] = y
  end
  b.n = n
end

local function flush(b)
  if b.n > 2 then call(unpack(b, 1, b.n)) end
end
