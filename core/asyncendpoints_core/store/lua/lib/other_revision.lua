-- Whether a job has another revision than those a caller names, `,3,4,`; without a text, or with an
-- empty one, it may have any.
local function other_revision(named, r)
  return named and named ~= ''
    and not string.find(named, string.format(',%.0f,', r.revision), 1, true)
end

return other_revision
