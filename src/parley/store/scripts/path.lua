--[[
path: the turns that lead to a turn, nearest first: what its model may be shown. Costs what it returns, however long
the conversation is.
KEYS      those of lib/keys.lua
ARGV      turn, how many at most, stop after so many bytes
REPLY     {turn, record, outcome or '', ...}, not counting the turn itself
--]]
-- include keys
local found, bytes = {}, 0
local record = call('HGET', turns, ARGV[1])
for _ = 1, tonumber(ARGV[2]) do
  local parent = record and string.match(record, '^(%S+)')
  if not parent or parent == '-' or bytes > tonumber(ARGV[3]) then break end
  local pair = call('HMGET', turns, parent, parent .. ':o')
  record = pair[1]
  if not record then break end
  found[#found + 1] = parent
  found[#found + 1] = record
  found[#found + 1] = pair[2] or ''
  bytes = bytes + #record + #(pair[2] or '')
end
return found
