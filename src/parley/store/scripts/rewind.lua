--[[
rewind: withdraw the reply's bytes from an offset on; what follows belongs to the next generation.
KEYS      those of lib/keys.lua
ARGV      fence, turn, gen, offset (bytes, where a character begins)
REPLY     {OK, gen} | {FENCED} | {OFFSET, length} the reply is shorter than that
EFFECT    gen + 1, reply and pieces cut, event `rewind`
REPEAT    a generation already reached, cut at this very offset, is not cut again
--]]
-- include keys emit
local fence, turn, gen, offset = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local known = call('HMGET', meta, 'fence', 'turn', 'gen', 'mark')
if known[1] ~= fence or known[2] ~= turn then return {'FENCED'} end
local length = call('STRLEN', reply)
if tonumber(known[3]) == gen + 1 and length == offset then return {'OK', gen + 1} end
if tonumber(known[3]) ~= gen then return {'FENCED'} end
if length < offset then return {'OFFSET', length} end
local text, boundaries, at = call('GET', reply) or '', {}, 0
for letter, size in string.gmatch(call('GET', pieces) or '', '(%a?)(%d+)') do
  if at >= offset then break end
  size = math.min(tonumber(size), offset - at)
  boundaries[#boundaries + 1] = string.format('%s%d ', letter, size)
  at = at + size
end
call('HSET', meta, 'gen', gen + 1, 'mark', math.max(length, tonumber(known[4])))
local ttl = call('PTTL', meta)
call('SET', reply, string.sub(text, 1, offset), 'PX', math.max(ttl, 1000))
call('SET', pieces, table.concat(boundaries), 'PX', math.max(ttl, 1000))
emit(string.format('{"type":"rewind","turn":"%s","gen":%d,"offset":%d}', turn, gen + 1, offset))
return {'OK', gen + 1}
