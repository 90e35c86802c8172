--[[
close_session: forget a session.
KEYS      session
ARGV      none
REPLY     1 there was one | 0 there was none
--]]
return redis.call('DEL', KEYS[1])
