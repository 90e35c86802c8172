--[[
handoff: give a running turn back, claimable at once; the attempt is not charged.
KEYS      those of lib/keys.lua
ARGV      fence, worker
REPLY     {OK} | {FENCED}
EFFECT    fence cleared, the token's idle time is an hour, a wake-up entry rouses one blocked worker
REPEAT    the second time the fence is gone
--]]
-- include keys
local known = call('HMGET', meta, 'fence', 'token', 'mark', 'spent')
if known[1] ~= ARGV[1] then return {'FENCED'} end
call('HDEL', meta, '~')
call('HSET', meta, 'fence', '', 'spent', (known[4] or ' ') .. ARGV[1] .. ' ',
  'mark', math.max(call('STRLEN', reply), tonumber(known[3])))
call('HINCRBY', meta, 'attempts', -1)
call('XCLAIM', queue, GROUP, ARGV[2], 0, known[2], 'IDLE', 3600000, 'JUSTID')
call('XADD', queue, '*', 'w', 1)
return {'OK'}
