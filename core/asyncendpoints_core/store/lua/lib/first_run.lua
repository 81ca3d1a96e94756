-- The run of a job that starts for the first time. All but its claim number, body size and name is the
-- same in a whole batch; how it begins depends only on how the job's record does.
-- LIB: record
local first_run = {prefixes = {}, optional = {}, NO_TTL_FROM = spack(layout.RUN.format.ttl_from, 0)}

function first_run.start(deadline)
  local expires_at, not_before, crashes, releases, cancel_requested_at = 0, 0, 0, 0, 0
  local attempt, started_at = 1, now
  return spack(layout.RUN.format.start, layout.RUN.fields.start)
end

function first_run.outcome(worker)
  local revision, updated_at, completed_at, history_count = 2, now, 0, 0
  local error_size, progress_size, history_size, worker_size = 0, 0, 0, #worker
  return spack(layout.RUN.format.outcome, layout.RUN.fields.outcome)
end

-- How the run of a fresh job begins, by how its record does; nil for a record to look at closely.
-- And, in `optional`, whether it has optional fields.
function first_run.prefix_of(kind, job)
  local r = record.decode_job(job)
  if r then
    r.state = IN_PROGRESS
    first_run.optional[kind] = band(sbyte(job, layout.JOB.at.flags), layout.JOB.optional_flags) > 0
    first_run.prefixes[kind] = ssub(record.encode_run(r), 1, layout.RUN.last.head)
  end
  return first_run.prefixes[kind]
end

return first_run
