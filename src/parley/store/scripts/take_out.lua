--[[
take_out: take something of a turn that has ended out of its conversation: an item, or the response.
KEYS      those of lib/keys.lua
ARGV      turn, mark: an item's number, or r for the response
REPLY     {OK} | {NONE} no such turn | {OPEN} it has not ended
EFFECT    the mark stands behind the fence in the first line of the outcome; what it means is up to the readers
REPEAT    a mark that stands is not made again
--]]
-- include keys
local turn, mark = ARGV[1], ARGV[2]
if call('HEXISTS', turns, turn) == 0 then return {'NONE'} end
local outcome = call('HGET', turns, turn .. ':o')
if not outcome then return {'OPEN'} end
local head, rest = string.match(outcome, '^([^\n]*)(\n.*)$')
if not string.find(head .. ' ', ' ' .. mark .. ' ', 1, true) then
  call('HSET', turns, turn .. ':o', head .. ' ' .. mark .. rest)
end
return {'OK'}
