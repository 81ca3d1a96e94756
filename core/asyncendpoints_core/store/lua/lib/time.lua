-- Running time: the clock without the pauses, by which waiting jobs expire.
local time = {paused_ms = suspended + (paused > 0 and now - paused or 0)}
time.active = now - time.paused_ms

-- What a client needs to show times: see codec.Context. `of_names`: lib/pauses.lua, nil without.
function time.context(of_names)
  local paused_ms = time.paused_ms
  return spack(layout.CONTEXT.format, layout.CONTEXT.fields) .. (of_names and of_names.packed or '')
end

return time
