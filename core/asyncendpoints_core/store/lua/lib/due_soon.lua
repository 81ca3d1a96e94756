-- Whether a job that may start in so many ms, -1 for never, may so before an idle worker looks by
-- itself: one is woken for it, and waits until then.
local function due_soon(ms)
  return ms >= 0 and ms < 1000
end
return due_soon
