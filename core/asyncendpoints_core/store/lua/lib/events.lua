-- One message per batch, published only while there are watchers: EVENT for each changed job.
local events = {watched = call('GET', watch)}
local watched, changed = events.watched, {}

function events.add(id, revision)
  if watched then changed[#changed + 1] = spack(layout.EVENT.format, layout.EVENT.fields) end
end

function events.publish()
  if #changed == 0 then return end
  local channel = ssub(meta, 1, -5) .. 'events'
  call(watched == 's' and 'SPUBLISH' or 'PUBLISH', channel, table.concat(changed))
end

return events
