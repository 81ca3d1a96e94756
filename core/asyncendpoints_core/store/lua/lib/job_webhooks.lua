-- The receivers that clients name for one job, among what the job carries.
-- LIB: record optional
local job_webhooks = {}

local function encode(a)
  local more = optional.write(a, layout.ATTRIBUTES.optional)
  return spack(layout.ATTRIBUTES.format, layout.ATTRIBUTES.fields(a)) .. more
    .. layout.ATTRIBUTES.join{
      tags = a.tags, key = a.key, schedule = a.schedule, webhooks = a.webhooks, subject = a.subject,
    }
end

-- The bytes of a job that carries `attributes` instead of its own.
local function carrying(job, attributes)
  local layout.JOB.fields = sunpack(layout.JOB.format, job)
  local parts_at, ttl_from, body_size, attributes_size = record.job_parts(job, flags)
  local before = ssub(job, parts_at, parts_at + layout.JOB.before.attributes - 1)
  local request = ssub(job, parts_at + layout.JOB.parts_size)
  local r = {
    flags = flags, ttl_from = ttl_from, body_size = body_size, attributes_size = #attributes,
  }
  local more = optional.write(r, layout.JOB.optional)
  format, flags = layout.FORMAT_WITH_ATTRIBUTES, r.flags
  return spack(layout.JOB.format, layout.JOB.fields) .. more .. before .. attributes .. request
end

-- The bytes of a job with a further receiver, unchanged when it cannot be read; nil when it has as
-- many as there may be.
function job_webhooks.add(job, url)
  if not record.decode_job(job) then return job end
  local a = record.attributes(job)
    or {flags = 0, tags = '', key = '', schedule = '', webhooks = '', subject = ''}
  local count = 0
  for known in string.gmatch(a.webhooks, '[^\n]+') do
    if known == url then return job end
    count = count + 1
  end
  if count >= MAX_JOB_WEBHOOKS then return nil end
  a.webhooks = count == 0 and url or a.webhooks .. '\n' .. url
  a.webhooks_size = #a.webhooks
  return carrying(job, encode(a))
end

return job_webhooks
