--[[
share: let whoever shows a link read the conversation, or nobody any more.
KEYS      those of lib/keys.lua
ARGV      what is kept of the link ('': none)
REPLY     {OK, cursor} | {NONE} | {GONE}
EFFECT    the link before it ends; event `shared`, by which those who read through that one are sent away, wherever
REPEAT    the same link again is one more event that says the same
--]]
-- include keys clock touch emit
local state = call('HGET', meta, 'state')
if not state then return {'NONE'} end
if state == 'deleted' then return {'GONE'} end
call('HSET', meta, 'share', ARGV[1])
local cursor = emit(string.format('{"type":"shared","link":"%s"}', ARGV[1]))
touch()
return {'OK', cursor}
