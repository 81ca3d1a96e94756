-- The part of a stored record before the request, cut without reading it all.
local function head(s)
  local bits = string.byte(s, 3) or 0
  local size = (string.byte(s, 24) or 0) + (string.byte(s, 25) or 0)
  if bits % 16 < 8 then return string.sub(s, 1, 25 + size) end
  if #s < 94 then return s end
  local el, pl, al = struct.unpack('>HHH', s, 89)
  return string.sub(s, 1, 94 + size + string.byte(s, 26) + el + pl + al)
end
