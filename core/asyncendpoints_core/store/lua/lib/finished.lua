-- Where finished jobs are kept, by state.
local finished = {
  [COMPLETED] = finished_completed, [FAILED] = finished_failed, [CANCELED] = finished_canceled,
}
return finished
