-- The optional fields of a record: each follows the fixed ones only while its flag is set.
-- `fields` is the list of a layout; the values, and the flags they depend on, are in the table `r`.
local optional = {}

-- Reads them from position `at`. Returns where they end, or nil when the record is too short.
function optional.read(r, fields, s, at)
  for _, field in ipairs(fields) do
    if band(r[field.of] or 0, field.mask) > 0 then
      if #s < at + field.width - 1 then return nil end
      r[field.name], at = sunpack(field.format, s, at)
    end
  end
  return at
end

-- Returns the bytes of those that are not nil, and sets their flags.
function optional.write(r, fields)
  local bytes = ''
  for i = #fields, 1, -1 do -- from the last: a flag may itself be in an optional field
    local field = fields[i]
    if r[field.name] then
      r[field.of] = bit.bor(r[field.of] or 0, field.mask)
      bytes = spack(field.format, r[field.name]) .. bytes
    end
  end
  return bytes
end

return optional
