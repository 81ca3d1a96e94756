-- Jobs as tables. Their bytes: store/record_layout.py, whose constants replace `layout` here.
-- What never changes is in `jobs`, what does is in `runs`; a job without a run waits as it was made.
-- LIB: optional
local record = {}

-- Returns nil for a first byte of a known format, else why it is not: 'newer', 'corrupt'.
local function fault(s)
  local version = (sbyte(s, 1) or 0) - layout.KIND
  if version > 0 and version <= layout.VERSION then return nil end
  return version > layout.VERSION and version < 16 and 'newer' or 'corrupt'
end

local function slice(s, at, size)
  return ssub(s, at, at + size - 1)
end

-- How long the stored request at `at` is without its body.
function record.request_bytes(s, at)
  local size = sbyte(s, at)
  if size and size < layout.LONG_MARK then return layout.REQUEST.size + size end
  if #s < at + layout.LONG_REQUEST.size - 1 then return #s end -- longer than the record: corrupt
  return layout.LONG_REQUEST.size
    + sunpack(layout.LONG_REQUEST.format.size, s, at + layout.LONG_REQUEST.offset.size)
end

-- Which optional fields there are with some flags: their names, and the index of each by its name; the
-- format that reads them all; where they end.
local function describe(fields, flags, size)
  local of, format, n, last = {}, '>', 0, size
  for _, field in ipairs(fields) do
    if band(flags, field.mask) > 0 then
      n = n + 1
      of[n], of[field.name] = field.name, n
      format, last = format .. ssub(field.format, 2), last + field.width
    end
  end
  of.format, of.last = format, last
  return of
end
local job_fields, attribute_fields = {}, {} -- by flags

-- Where a job's parts begin, and its optional fields; nil when it is too short for them.
function record.job_parts(s, flags)
  flags = band(flags, layout.JOB.optional_flags)
  if flags == 0 then return layout.JOB.size + 1 end
  local of = job_fields[flags]
  if not of then
    of = describe(layout.JOB.optional, flags, layout.JOB.size)
    job_fields[flags] = of
  end
  if #s < of.last then return nil end
  local first, second, third = sunpack(of.format, s, layout.JOB.size + 1)
  local body_size, attributes_size = of.body_size, of.attributes_size
  if body_size then body_size = body_size == 1 and first or second end
  if attributes_size then
    attributes_size = attributes_size == 1 and first or attributes_size == 2 and second or third
  end
  return of.last + 1, of.ttl_from and first, body_size, attributes_size
end

local function new_run()
  return {
    state = QUEUED, priority = 0, suspect = false, body_apart = false, created_at = 0, seq = 0,
    max_attempts = 0, ttl_from = 0, expires_at = 0, not_before = 0, deadline = 0, crashes = 0,
    releases = 0, attempt = 0, started_at = 0, cancel_requested_at = 0, body_size = 0, claim = 0,
    revision = 0, updated_at = 0, completed_at = 0, history_count = 0, worker = '', error = '',
    progress = '', history = '', name = '', result = '', format = 0, flags = 0, name_size = 0,
    worker_size = 0, error_size = 0, progress_size = 0, history_size = 0,
  }
end

-- The run of a job without one, as a table; or nil and why.
function record.decode_job(s)
  local why = fault(s)
  if why or #s < layout.JOB.size then return nil, why or 'corrupt' end
  local layout.JOB.fields = sunpack(layout.JOB.format, s)
  local parts_at, ttl_from, body_size, attributes_size = record.job_parts(s, flags)
  local priority = band(flags, layout.JOB.mask.priority) / layout.JOB.unit.priority
  local request_at = parts_at and parts_at + layout.JOB.parts_size
  if not parts_at or #s < request_at or priority > layout.JOB.most.priority
    or band(flags, layout.JOB.spare.flags) > 0 then
    return nil, 'corrupt'
  end
  local size = body_size or #s - request_at + 1 - record.request_bytes(s, request_at)
  if size < 0 then return nil, 'corrupt' end
  local r = new_run()
  r.priority, r.created_at, r.seq, r.max_attempts = priority, created_at, seq, max_attempts
  r.ttl_from, r.updated_at, r.revision = ttl_from or created_at, created_at, 1
  r.name = slice(s, parts_at + layout.JOB.before.name, name_size)
  r.body_size, r.body_apart = size, body_size ~= nil
  return r
end

-- A run as a table, or nil and why.
function record.decode_run(s)
  local why = fault(s)
  if why or #s < layout.RUN.size then return nil, why or 'corrupt' end
  local r = new_run()
  layout.RUN.fields(r) = sunpack(layout.RUN.format, s)
  local flags, worker_size, error_size = r.flags, r.worker_size, r.error_size
  local progress_size, history_size, name_size = r.progress_size, r.history_size, r.name_size
  r.state = band(flags, layout.RUN.mask.state) / layout.RUN.unit.state
  r.priority = band(flags, layout.RUN.mask.priority) / layout.RUN.unit.priority
  r.suspect = band(flags, layout.RUN.mask.suspect) > 0
  r.body_apart = band(flags, layout.RUN.mask.body_apart) > 0
  local parts_at = optional.read(r, layout.RUN.optional, s, layout.RUN.size + 1)
  local result_at = parts_at and parts_at + layout.RUN.parts_size
  -- What is read of its parts later must be there too: the code of its error, the ends of its runs.
  if not parts_at or #s < result_at - 1 or r.state > layout.RUN.most.state
    or r.priority > layout.RUN.most.priority or band(flags, layout.RUN.spare.flags) > 0
    or error_size > 0 and error_size < layout.ERROR.size
    or history_size < r.history_count * layout.ATTEMPT.size then
    return nil, 'corrupt'
  end
  r.worker = slice(s, parts_at + layout.RUN.before.worker, worker_size)
  r.error = slice(s, parts_at + layout.RUN.before.error, error_size)
  r.progress = slice(s, parts_at + layout.RUN.before.progress, progress_size)
  r.history = slice(s, parts_at + layout.RUN.before.history, history_size)
  r.name = slice(s, parts_at + layout.RUN.before.name, name_size)
  r.result = ssub(s, result_at)
  if r.ttl_from == 0 then r.ttl_from = r.created_at end
  return r
end

-- What is known of a job: of its run if there is one, unless the part that never changes is of a
-- newer version. Nil without a record; or nil and why.
function record.decode(job, run)
  if run then
    if job and fault(job) == 'newer' then return nil, 'newer' end
    return record.decode_run(run)
  end
  if job then return record.decode_job(job) end
end

function record.encode_run(r)
  r.format = layout.FORMAT
  r.flags = r.state * layout.RUN.unit.state + r.priority * layout.RUN.unit.priority
    + (r.suspect and layout.RUN.mask.suspect or 0)
    + (r.body_apart and layout.RUN.mask.body_apart or 0)
  r.worker_size, r.error_size, r.progress_size = #r.worker, #r.error, #r.progress
  r.history_size, r.name_size = #r.history, #r.name
  local more = optional.write(r, layout.RUN.optional)
  return spack(layout.RUN.format, layout.RUN.fields(r)) .. more .. layout.RUN.join{
    worker = r.worker, error = r.error, progress = r.progress, history = r.history, name = r.name,
  } .. r.result
end

-- A job before its request, and its run without the result: all that a reader of its state needs.
-- One that cannot be read is returned whole.
function record.head(job, run)
  if #job >= layout.JOB.size then
    local layout.JOB.fields = sunpack(layout.JOB.format, job)
    local parts_at, _, _, attributes_size = record.job_parts(job, flags)
    if parts_at then job = ssub(job, 1, parts_at + layout.JOB.parts_size - 1) end
  end
  if not run then return job end
  if #run >= layout.RUN.size then
    local layout.RUN.fields.outcome = sunpack(layout.RUN.format.outcome, run, layout.RUN.at.outcome)
    local name_size = sunpack(layout.RUN.format.name_size, run, layout.RUN.at.name_size)
    local r = {flags = sbyte(run, layout.RUN.at.flags)}
    local parts_at = optional.read(r, layout.RUN.optional, run, layout.RUN.size + 1)
    if parts_at then run = ssub(run, 1, parts_at + layout.RUN.parts_size - 1) end
  end
  return job .. run
end

-- What a job carries, by the names of its fields: nil without any, or when it cannot be read.
function record.attributes(job)
  if #job < layout.JOB.size then return nil end
  local layout.JOB.fields = sunpack(layout.JOB.format, job)
  local parts_at, _, _, attributes_size = record.job_parts(job, flags)
  if not attributes_size then return nil end
  return record.read_attributes(slice(job, parts_at + layout.JOB.before.attributes, attributes_size))
end

function record.read_attributes(s)
  if #s < layout.ATTRIBUTES.size then return nil end
  local layout.ATTRIBUTES.fields = sunpack(layout.ATTRIBUTES.format, s)
  local of = attribute_fields[flags]
  if not of then
    of = describe(layout.ATTRIBUTES.optional, flags, layout.ATTRIBUTES.size)
    attribute_fields[flags] = of
  end
  if #s < of.last then return nil end
  local a = {
    flags = flags, until_started = band(flags, layout.ATTRIBUTES.mask.until_started) > 0,
    tags = '', key = '', schedule = '', webhooks = '', subject = '',
  }
  local found, own_at = {sunpack(of.format, s, layout.ATTRIBUTES.size + 1)}, of.last + 1
  for i = 1, #of do a[of[i]] = found[i] end
  local tags_size, key_size, schedule_size = a.tags_size, a.key_size, a.schedule_size
  local webhooks_size, subject_size = a.webhooks_size, a.subject_size
  if tags_size then a.tags = slice(s, own_at + layout.ATTRIBUTES.before.tags, tags_size) end
  if key_size then a.key = slice(s, own_at + layout.ATTRIBUTES.before.key, key_size) end
  if schedule_size then
    a.schedule = slice(s, own_at + layout.ATTRIBUTES.before.schedule, schedule_size)
  end
  if webhooks_size then
    a.webhooks = slice(s, own_at + layout.ATTRIBUTES.before.webhooks, webhooks_size)
  end
  if subject_size then
    a.subject = slice(s, own_at + layout.ATTRIBUTES.before.subject, subject_size)
  end
  return a
end

-- The code of a job's error, '' without one.
function record.error_code(r)
  if r.error == '' then return '' end
  local layout.ERROR.fields = sunpack(layout.ERROR.format, r.error)
  return slice(r.error, layout.ERROR.size + 1 + layout.ERROR.before.code, code_size)
end

-- The line in which a job waits, by number; nil when it does not wait or cannot be read.
function record.waiting_line(job, run)
  if #(run or job) < (run and layout.RUN.size or layout.JOB.size) then return nil end
  local flags, priority = sbyte(run or job, layout.RUN.at.flags), nil
  if not run then
    priority = band(flags, layout.JOB.mask.priority) / layout.JOB.unit.priority
  elseif band(flags, layout.RUN.mask.state) == QUEUED * layout.RUN.unit.state then
    priority = band(flags, layout.RUN.mask.priority) / layout.RUN.unit.priority
  end
  return priority and priority <= layout.JOB.most.priority and priority or nil
end

-- A list of ids that are written one after the other.
function record.split_ids(s)
  local ids, size = {}, layout.IDS.size
  for at = 1, #s, size do ids[#ids + 1] = ssub(s, at, at + size - 1) end
  return ids
end

-- The claim number and the id in a member of `held`.
function record.read_held_member(member)
  local layout.HELD.fields = sunpack(layout.HELD.format, member, #member - layout.HELD.size + 1)
  return claim, id
end

function record.held_id(member)
  return (select(2, record.read_held_member(member)))
end

-- The member of `held` for a job that a worker holds: each worker's in the order of its claims.
function record.held_member(id, r)
  local claim = r.claim
  return r.worker .. '\0' .. spack(layout.HELD.format, layout.HELD.fields)
end

return record
