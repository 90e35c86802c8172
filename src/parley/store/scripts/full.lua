--[[
full: a worker has no place for another turn.
KEYS      full: zset of worker -> until when that may be believed (ms)
ARGV      worker, for how long (ms)
REPLY     1
REPEAT    harmless
--]]
-- include clock
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now()))
call('ZADD', KEYS[1], string.format('%.0f', now() + ARGV[2]), ARGV[1])
call('PEXPIRE', KEYS[1], ARGV[2])
return 1
