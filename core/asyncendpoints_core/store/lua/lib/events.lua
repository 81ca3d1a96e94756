-- One message per batch, published only while there are watchers: EVENT for each changed job.
local listening = call('GET', watch)
local changed = {}

local function note(id, revision)
  if listening then changed[#changed + 1] = spack(layout.EVENT.format, layout.EVENT.fields) end
end

local function publish()
  if #changed == 0 then return end
  local channel = string.sub(meta, 1, -5) .. 'events'
  call(listening == 's' and 'SPUBLISH' or 'PUBLISH', channel, table.concat(changed))
end
