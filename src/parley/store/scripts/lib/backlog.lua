-- Whether workers are there and do not keep up: one of the shard's turns has waited for them for more than `most`
-- milliseconds, or each of them says that it is full (full.lua) and one turn waits already for every `LINE` that run.
-- Where there are no workers nothing is told of how fast they will be.
local ALIVE, LINE = 10000, 8
local function backlog(most)
  local known = group()
  if not known then return false end
  local places = math.max(1, math.floor(known.pending / LINE))
  local line = call('XRANGE', queue, '(' .. known['last-delivered-id'], '+', 'COUNT', places)
  if not line[1] then return false end
  local late = now() - string.match(line[1][1], '^%d+') > most
  if not late and #line < places then return false end
  -- A worker that is full reads no queue, and may be no consumer of this one yet.
  call('ZREMRANGEBYSCORE', full, '-inf', string.format('%.0f', now()))
  local alive = call('ZCARD', full) > 0
  if not late and not alive then return false end
  for _, consumer in ipairs(call('XINFO', 'CONSUMERS', queue, GROUP)) do
    local fields = {}
    for k = 1, #consumer, 2 do fields[consumer[k]] = consumer[k + 1] end
    if fields.idle < ALIVE then
      alive = true
      if not late and not call('ZSCORE', full, fields.name) then return false end
    end
  end
  return alive
end
