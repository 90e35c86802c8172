--[[
append: add pieces to the reply in progress. The hot path: once a batch of tokens.
KEYS      the first four of lib/keys.lua
ARGV      fence, turn, gen, offset (bytes), then channel letter and text of each piece
REPLY     {OK, length} | {FENCED} the turn is not yours any more | {OFFSET, length} the reply ends elsewhere
EFFECT    reply, pieces, one event `delta` a piece
REPEAT    the offset is the sequence number of an idempotent producer: a piece that stands is not added again
--]]
-- include keys emit put
local known = call('HMGET', meta, 'fence', 'turn', 'gen', 'last')
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] or known[3] ~= ARGV[3] then return {'FENCED'} end
local length, stands = put(ARGV[2], ARGV[3], tonumber(ARGV[4]), 5, known[4])
if not length then return {'OFFSET', stands} end
return {'OK', length}
