--[[
snapshot: everything a viewer needs who comes now, and the cursor to go on from, in one consistent read.
KEYS      those of lib/keys.lua
ARGV      how many turns at most; before which index, in the order of acceptance (-1: the newest ones, and, unless
          none are asked for, every one that has not ended: no event to come is of a turn the viewer does not know)
REPLY     {NONE} | {GONE, last} | {OK, last, owner, born, ttl left (ms), about, state, head, turns in all,
          index of the first turn given, running turn or '',
          gen, reply, pieces, {turn, record, outcome or '', ...} oldest first, {waiting turn, ...},
          what is kept of the link it is shared by or ''}
EFFECT    when turns are asked for, the expiry is renewed once a tenth of the life is over: reading stays cheap
--]]
-- include keys clock touch
local known = call('HMGET', meta, 'state', 'last', 'owner', 'born', 'about', 'head', 'turn', 'gen', 'ttl', 'share')
if not known[1] then return {'NONE'} end
if known[1] == 'deleted' then return {'GONE', known[2]} end
if tonumber(ARGV[1]) > 0 and call('PTTL', meta) < 900 * known[9] then touch() end
local total, before = call('LLEN', order), tonumber(ARGV[2])
if before < 0 or before > total then before = total end
local from = math.max(0, before - ARGV[1])
local oldest = tonumber(ARGV[2]) < 0 and from < total and call('LINDEX', waiting, 0)
if oldest then from = math.min(from, call('LPOS', order, oldest, 'RANK', -1)) end
local found = {}
if before > from then
  for _, turn in ipairs(call('LRANGE', order, from, before - 1)) do
    local record = call('HMGET', turns, turn, turn .. ':o')
    found[#found + 1] = turn
    found[#found + 1] = record[1] or ''
    found[#found + 1] = record[2] or ''
  end
end
return {'OK', known[2] or '0-0', known[3], known[4], call('PTTL', meta), known[5] or '{}', known[1], known[6] or '',
  total, from, known[7] or '', known[8] or '0', call('GET', reply) or '', call('GET', pieces) or '', found,
  call('LRANGE', waiting, 0, -1), known[10] or ''}
