--[[
drop: take an entry out of the work queue; acknowledged and deleted in one step, so that a crash leaves nothing behind.
KEYS      queue
ARGV      entry
REPLY     {OK}
REPEAT    harmless
--]]
redis.call('XACK', KEYS[1], 'w', ARGV[1])
redis.call('XDEL', KEYS[1], ARGV[1])
return {'OK'}
