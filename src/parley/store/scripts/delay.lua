--[[
delay: tell viewers that the model asked to wait.
KEYS      those of lib/keys.lua
ARGV      fence, turn, reason, seconds
REPLY     {OK} | {FENCED}
EFFECT    event `delayed`
REPEAT    one more event that says the same
--]]
-- include keys emit
local known = call('HMGET', meta, 'fence', 'turn')
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then return {'FENCED'} end
emit(string.format('{"type":"delayed","turn":"%s","reason":%s,"seconds":%s}', ARGV[2], cjson.encode(ARGV[3]), ARGV[4]))
return {'OK'}
