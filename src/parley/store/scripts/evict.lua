--[[
evict: a worker is known to be dead; free what it holds, at once.
KEYS      queue
ARGV      worker
REPLY     how many turns were freed
EFFECT    its pending tokens' idle time is an hour, a wake-up entry rouses one blocked worker. The consumer is
          deleted only when it holds nothing: deleting it with work pending would throw the work away
REPEAT    harmless
--]]
local queue, GROUP = KEYS[1], 'w'
local held = redis.pcall('XPENDING', queue, GROUP, '-', '+', 10000, ARGV[1])
if held.err then
  -- No group: the worker died before any was made, so it never claimed anything.
  return string.find(held.err, 'NOGROUP') and 0 or held
end
for _, entry in ipairs(held) do
  redis.call('XCLAIM', queue, GROUP, ARGV[1], 0, entry[1], 'IDLE', 3600000, 'JUSTID')
end
if #held == 0 then
  redis.pcall('XGROUP', 'DELCONSUMER', queue, GROUP, ARGV[1])
else
  redis.call('XADD', queue, '*', 'w', 1)
end
return #held
