-- Redis keeps up to 128 short members as a packed list that is searched from its head: about 2 us a
-- job more when 100 jobs are under way. One member of over 64 bytes makes it keep a skip list.
local KEEPER = '\0no job: this entry keeps the set a skip list and not a list that is searched'
local function keep_skip_list()
  call('ZADD', held, 0, KEEPER)
end
return keep_skip_list
