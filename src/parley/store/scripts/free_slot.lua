--[[
free_slot: give a place of an upstream back.
KEYS      slots
ARGV      holder
REPLY     1 was held | 0 was not
--]]
return redis.call('ZREM', KEYS[1], ARGV[1])
