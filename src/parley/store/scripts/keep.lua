--[[
keep: hold on to a token that was delivered to this worker and is not acquired yet.
KEYS      queue
ARGV      token, worker
REPLY     1 it is still pending for this worker, its idle time is zero | 0 it is not
REPEAT    harmless
--]]
local pending = redis.call('XPENDING', KEYS[1], 'w', ARGV[1], ARGV[1], 1)
if #pending == 0 or pending[1][2] ~= ARGV[2] then return 0 end
redis.call('XCLAIM', KEYS[1], 'w', ARGV[2], 0, ARGV[1], 'JUSTID')
return 1
