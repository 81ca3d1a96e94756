-- Reads a sorted set from high to low, some at a time; equal scores are ordered by the id.
local descending = {}
local CHUNK = 100

-- Ids as bytes, in four numbers: Lua compares strings by the locale.
local WORDS = '>I4I4I4I4'
function descending.less(a, b)
  local a1, a2, a3, a4 = sunpack(WORDS, a)
  local b1, b2, b3, b4 = sunpack(WORDS, b)
  if a1 ~= b1 then return a1 < b1 end
  if a2 ~= b2 then return a2 < b2 end
  if a3 ~= b3 then return a3 < b3 end
  return a4 < b4
end

-- A reader whose `pairs` are number and id; `number` nil: from the top, else from below that pair.
-- What is in the sorted set `apart` too, where there is one, is left out.
function descending.open(key, number, below, apart)
  local at = 0
  if number then
    local score = tonumber(call('ZSCORE', key, below) or -1)
    if score == number then
      at = call('ZREVRANK', key, below) + 1
    else
      at = call('ZCOUNT', key, '(' .. string.format('%.0f', number), '+inf')
    end
  end
  local reader = {pairs = {}, next = 1}
  function reader.peek()
    while true do
      local pair = reader.pairs[reader.next]
      if pair then
        if not number or pair[1] < number or descending.less(pair[2], below) then return pair end
        reader.next = reader.next + 1
      else
        local flat = call('ZREVRANGE', key, at, at + CHUNK - 1, 'WITHSCORES')
        if #flat == 0 then return nil end
        at, reader.pairs, reader.next = at + #flat / 2, {}, 1
        for i = 1, #flat, 2 do
          if not apart or not call('ZSCORE', apart, flat[i]) then
            reader.pairs[#reader.pairs + 1] = {tonumber(flat[i + 1]), flat[i]}
          end
        end
      end
    end
  end
  return reader
end

return descending
