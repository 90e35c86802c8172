--[[
final: add the last pieces and end the turn, in one step.
KEYS      those of lib/keys.lua
ARGV      fence, turn, gen, offset (bytes), status, extra (JSON fields of the outcome), then channel letter and text of each piece
REPLY     {OK, status} | {FENCED} | {OFFSET, length}
EFFECT    as append, then lib/finish.lua
REPEAT    a turn closed by this fence with this status replies OK again
--]]
-- include keys clock touch emit issue bill finish put
local fence, turn, gen, offset, status, extra = unpack(ARGV, 1, 6)
local outcome = call('HGET', turns, turn .. ':o')
if outcome then
  local closed, ended = string.match(outcome, '^(%S*)\n{"status":"([%a_]+)"')
  if closed == fence and ended == status then return {'OK', status} end
  return {'FENCED'}
end
local known = call('HMGET', meta, 'fence', 'turn', 'gen', 'last')
if known[1] ~= fence or known[2] ~= turn or known[3] ~= gen then return {'FENCED'} end
-- At maxmemory a script whose first write frees memory is let through: so a reply can always end.
call('HDEL', meta, '~')
local length, stands = put(turn, gen, tonumber(offset), 7, known[4])
if not length then return {'OFFSET', stands} end
finish(turn, status, extra)
return {'OK', status}
