--[[
recall: what a conversation consists of on the way to its newest turn, and what was saved and is not answered yet.
KEYS      those of lib/keys.lua
ARGV      owner, how many turns at most
REPLY     {NONE} none of this owner | {GONE} | {OK, about, head, draft, {turn, record, outcome or '', ...} newest first}
EFFECT    expiry renewed
REPEAT    harmless
--]]
-- include keys clock touch
local known = call('HMGET', meta, 'state', 'owner', 'about', 'head', 'draft')
if not known[1] or known[2] ~= ARGV[1] then return {'NONE'} end
if known[1] == 'deleted' then return {'GONE'} end
local found, turn = {}, known[4]
for _ = 1, tonumber(ARGV[2]) do
  if not turn or turn == '-' then break end
  local pair = call('HMGET', turns, turn, turn .. ':o')
  if not pair[1] then break end
  found[#found + 1] = turn
  found[#found + 1] = pair[1]
  found[#found + 1] = pair[2] or ''
  turn = string.match(pair[1], '^(%S+)')
end
touch()
return {'OK', known[3] or '{}', known[4] or '', known[5] or '', found}
