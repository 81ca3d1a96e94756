-- The part of a stored record before the request, cut without reading it all.
local function head(s)
  local bits, size = string.byte(s, 2) or 0, 0
  if #s > 16 then size = string.byte(s, 16) + string.byte(s, 17) end
  if bits % 16 < 8 then return string.sub(s, 1, (bits > 127 and 23 or 17) + size) end
  if #s < 92 then return s end
  local el, pl, al = struct.unpack('>HHH', s, 87)
  return string.sub(s, 1, 92 + size + string.byte(s, 24) + el + pl + al)
end
