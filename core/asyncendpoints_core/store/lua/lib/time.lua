-- Running time: the clock without the pauses, by which waiting jobs expire.
local paused_ms = suspended + (paused > 0 and now - paused or 0)
local active = now - paused_ms

-- What a client needs to show times: see codec.Context.
local function context()
  return spack(layout.CONTEXT.format, layout.CONTEXT.fields)
end
