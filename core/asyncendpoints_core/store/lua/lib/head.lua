-- A job before its request, and its run without the result: all that a reader of its state needs.
local function head(job, run)
  local bits = sbyte(job, 2) or 0
  local size = JOB_BYTES + (bits > 127 and 6 or 0) + (bits % 128 > 63 and 4 or 0)
  if #job >= JOB_BYTES then size = size + sbyte(job, 16) + sbyte(job, 17) end
  if not run then return ssub(job, 1, size) end
  if #run < RUN_BYTES then return ssub(job, 1, size) .. run end
  local el, pl, al, wl = sunpack('>HHHB', run, 85)
  return ssub(job, 1, size) .. ssub(run, 1, RUN_BYTES + el + pl + al + wl + sbyte(run, 16))
end
