--[[
change: describe a conversation anew (title and the like).
KEYS      those of lib/keys.lua
ARGV      about (JSON, whole), public part of it (JSON) for the event, sliding life (s, 0: as it is)
REPLY     {OK, cursor} | {NONE} | {GONE}
EFFECT    meta, event `changed`, expiry renewed
REPEAT    the same description again is one more event that says the same
--]]
-- include keys clock touch emit
local state = call('HGET', meta, 'state')
if not state then return {'NONE'} end
if state == 'deleted' then return {'GONE'} end
call('HSET', meta, 'about', ARGV[1])
if tonumber(ARGV[3] or '0') > 0 then call('HSET', meta, 'ttl', ARGV[3]) end
local cursor = emit(string.format('{"type":"changed","about":%s}', ARGV[2]))
touch()
return {'OK', cursor}
