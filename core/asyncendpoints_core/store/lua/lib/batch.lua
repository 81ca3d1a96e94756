-- Writes that are collected while everything is read and checked, then sent as one command per key.
local batch = {}
local collected = {} -- batches: in their order, and by key

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

-- Adds to the batch of a key, which is made then: most calls have nothing for most of their batches.
function batch.collect(command, key, x, y)
  local b = collected[key]
  if not b or b[1] ~= command then
    b = batch.new(command, key)
    collected[key], collected[#collected + 1] = b, b
  end
  batch.add(b, x, y)
end

function batch.flush_collected()
  for i = 1, #collected do batch.flush(collected[i]) end
end

function batch.flush_each(batches)
  for i = 0, CANCELED do
    if batches[i] then batch.flush(batches[i]) end
  end
end

return batch
