--[[
open_session: remember who speaks.
KEYS      session
ARGV      idle life (ms), latest end (unix ms), then field, value, ...
REPLY     {OK}
EFFECT    the session's hash, with its expiry
--]]
for k = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[k], ARGV[k + 1]) end
redis.call('HSET', KEYS[1], 'idle', ARGV[1], 'end', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {'OK'}
