-- What an event has of its job: at most MAX_EVENT_BYTES; its error has what the rest leaves.
-- LIB: record optional
-- LAZY:
local event_head = {}

-- What the job carries and an event shows: not its lock, and not the receivers that clients named.
local function carried_by(job)
  local a = record.attributes(job)
  if not a then return '' end
  a.flags, a.lock, a.lock_ms, a.webhooks_size, a.subject_size = 0, nil, nil, nil, nil
  local more = optional.write(a, layout.ATTRIBUTES.optional)
  if a.flags == 0 then return '' end
  return spack(layout.ATTRIBUTES.format, layout.ATTRIBUTES.fields(a)) .. more
    .. layout.ATTRIBUTES.join{
      tags = a.tags, key = a.key, schedule = a.schedule, webhooks = '', subject = '',
    }
end

-- What of the job never changes, without its name, which its run has as well.
local function job_part(job)
  if #job < layout.JOB.size then return '' end
  local layout.JOB.fields = sunpack(layout.JOB.format, job)
  local attributes = carried_by(job)
  local r = {flags = band(flags, layout.JOB.mask.priority)}
  if attributes ~= '' then r.attributes_size = #attributes end
  local more = optional.write(r, layout.JOB.optional)
  format = attributes == '' and layout.FORMAT or layout.FORMAT_WITH_ATTRIBUTES
  flags, name_size, trace_size = r.flags, 0, 0
  return spack(layout.JOB.format, layout.JOB.fields) .. more .. attributes
end

-- An error, cut between two characters.
local function short(err, most)
  most = math.max(most, layout.ERROR.size)
  if #err <= most then return err end
  local size = most
  while size > layout.ERROR.size and band(sbyte(err, size + 1), 192) == 128 do size = size - 1 end
  local layout.ERROR.fields = sunpack(layout.ERROR.format, err)
  code_size = math.min(code_size, size - layout.ERROR.size)
  return spack(layout.ERROR.format, layout.ERROR.fields) .. ssub(err, layout.ERROR.size + 1, size)
end

function event_head.of(job, r)
  local event, own = {}, job_part(job)
  for name, value in pairs(r) do event[name] = value end
  event.history, event.history_count, event.progress, event.result = '', 0, '', ''
  event.worker, event.suspect = '', false
  event.error = short(r.error, math.min(MAX_EVENT_ERROR_BYTES,
    MAX_EVENT_BYTES - #own - layout.RUN.size - #r.name))
  return own .. record.encode_run(event)
end

return event_head
