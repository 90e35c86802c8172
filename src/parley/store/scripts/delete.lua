--[[
delete: forget a conversation. A tombstone stays for a while, so that readers learn of it.
KEYS      those of lib/keys.lua
ARGV      how long the tombstone stays (ms)
REPLY     {OK} | {NONE}
EFFECT    token taken back (a running worker is fenced out), data gone, event `deleted`
REPEAT    a tombstone is left as it is
--]]
-- include keys clock emit issue bill
local state = call('HGET', meta, 'state')
if not state then return {'NONE'} end
if state == 'deleted' then return {'OK'} end
for _, turn in ipairs(call('LRANGE', waiting, 0, -1)) do
  bill(turn, call('HGET', meta, 'turn') == turn and call('STRLEN', reply) or 0, '')
end
retract()
call('ZREM', active, call('HGET', meta, 'id'))
call('DEL', order, turns, reply, pieces, waiting)
call('HDEL', meta, 'about', 'head', 'bytes', 'draft', 'saved', 'share')
call('HSET', meta, 'state', 'deleted')
emit('{"type":"deleted"}')
call('XTRIM', log, 'MAXLEN', 1)
call('PEXPIRE', meta, ARGV[1])
call('PEXPIRE', log, ARGV[1])
return {'OK'}
