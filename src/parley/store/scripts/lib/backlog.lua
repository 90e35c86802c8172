-- Whether workers are there and do not keep up: one of the shard's turns has waited for them for more than `most`
-- milliseconds. Where there are none nothing is told of how fast they will be.
local ALIVE = 10000
local function backlog(most)
  local groups = redis.pcall('XINFO', 'GROUPS', queue)
  if groups.err then return false end
  for _, group in ipairs(groups) do
    local fields = {}
    for k = 1, #group, 2 do fields[group[k]] = group[k + 1] end
    local oldest = fields.name == GROUP and call('XRANGE', queue, '(' .. fields['last-delivered-id'], '+', 'COUNT', 1)[1]
    if oldest and now() - string.match(oldest[1], '^%d+') > most then
      for _, consumer in ipairs(call('XINFO', 'CONSUMERS', queue, GROUP)) do
        for k = 1, #consumer, 2 do
          if consumer[k] == 'idle' and consumer[k + 1] < ALIVE then return true end
        end
      end
    end
  end
  return false
end
