-- A new job before its parts; `blob`: its body, where that is kept apart; `created_at`: if not now.
-- LIB: optional time
local function new_job(priority, seq, max_attempts, name_size, trace_size, attributes_size, blob,
  created_at)
  local format, flags = layout.FORMAT, priority * layout.JOB.unit.priority
  local active = time.active
  created_at = created_at or now
  if active == now and not blob and attributes_size == 0 then
    return spack(layout.JOB.format, layout.JOB.fields)
  end
  local r = {flags = flags, ttl_from = active < now and active or nil, body_size = blob and #blob}
  if attributes_size > 0 then
    format, r.attributes_size = layout.FORMAT_WITH_ATTRIBUTES, attributes_size
  end
  local more = optional.write(r, layout.JOB.optional)
  flags = r.flags
  return spack(layout.JOB.format, layout.JOB.fields) .. more
end
return new_job
