-- Writes that are collected while everything is read and checked, then sent as one command per key.
local batch = {}

function batch.new(command, key)
  return {command, key, n = 2}
end

-- A batch for each of some keys that are listed by priority or state.
function batch.each(command, keys)
  local batches = {}
  for i = 0, CANCELED do
    if keys[i] then batches[i] = batch.new(command, keys[i]) end
  end
  return batches
end

function batch.add(b, x, y)
  local n = b.n + 1
  b[n] = x
  if y then
    n = n + 1
    b[n] = y
  end
  b.n = n
end

-- Sends a batch that is not empty, and empties it.
function batch.flush(b)
  if b.n > 2 then call(unpack(b, 1, b.n)) end
  b.n = 2
end

function batch.flush_each(batches)
  for i = 0, CANCELED do
    if batches[i] then batch.flush(batches[i]) end
  end
end

return batch
