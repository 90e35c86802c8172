--[[
fold: drop the events of turns that have ended; their replies stand folded in the turn records.
KEYS      those of lib/keys.lua
ARGV      none
REPLY     {OK, entries dropped}
EFFECT    the log is cut before its last `end`; a reader that still stood there takes a snapshot
REPEAT    harmless
--]]
-- include keys
local ended = call('HGET', meta, 'ended')
if not ended then return {'OK', 0} end
return {'OK', call('XTRIM', log, 'MINID', ended)}
