--[[
use_session: look a session up, and renew it.
KEYS      session
ARGV      none
REPLY     {field, value, ...}, empty when there is none
EFFECT    its expiry slides, up to its latest end
--]]
local fields = redis.call('HGETALL', KEYS[1])
if #fields == 0 then return fields end
local life = redis.call('HMGET', KEYS[1], 'idle', 'end')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(0, math.min(tonumber(life[1]), life[2] - now))))
return fields
