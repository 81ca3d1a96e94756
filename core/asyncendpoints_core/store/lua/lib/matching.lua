-- Whether a job has all that a filter names: name, key, schedule, code of the error ('' for any),
-- created since and before (ms), and a list of tags.
-- LIB: record
local function matching(only)
  return function(job, r)
    if only.name ~= '' and r.name ~= only.name then return false end
    if only.code ~= '' and record.error_code(r) ~= only.code then return false end
    if r.created_at < only.since or r.created_at >= only.before then return false end
    if #only.tags == 0 and only.key == '' and only.schedule == '' then return true end
    local carried = record.attributes(job)
    if not carried or only.key ~= '' and carried.key ~= only.key then return false end
    if only.schedule ~= '' and carried.schedule ~= only.schedule then return false end
    local tags = ',' .. carried.tags .. ','
    for _, tag in ipairs(only.tags) do
      if not string.find(tags, ',' .. tag .. ',', 1, true) then return false end
    end
    return true
  end
end
return matching
