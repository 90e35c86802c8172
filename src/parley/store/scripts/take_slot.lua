--[[
take_slot: hold one of an upstream's places (a counting semaphore with leases).
KEYS      slots: zset of holder -> when its lease ends (ms)
ARGV      holder, how many places there are, lease (ms)
REPLY     1 held (now or before) | 0 all places are taken
REPEAT    a holder that asks again renews its lease
--]]
-- include clock
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now()))
if not call('ZSCORE', KEYS[1], ARGV[1]) and call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
call('ZADD', KEYS[1], string.format('%.0f', now() + ARGV[3]), ARGV[1])
call('PEXPIRE', KEYS[1], 4 * ARGV[3])
return 1
