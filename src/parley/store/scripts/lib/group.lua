-- What the server says of the consumer group of the shard's queue, by the names of the fields; nil: there is none.
local function group()
  local groups = redis.pcall('XINFO', 'GROUPS', queue)
  for _, listed in ipairs(groups.err and {} or groups) do
    local fields = {}
    for k = 1, #listed, 2 do fields[listed[k]] = listed[k + 1] end
    if fields.name == GROUP then return fields end
  end
end
