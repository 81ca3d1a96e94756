-- A job before its request, and its run without the result: all that a reader of its state needs.
local function head(job, run)
  if #job >= layout.JOB_SIZE then job = ssub(job, 1, (layout.job_head_end(job) or 0) - 1) end
  if not run then return job end
  if #run >= layout.RUN_SIZE then run = ssub(run, 1, (layout.run_head_end(run) or 0) - 1) end
  return job .. run
end
