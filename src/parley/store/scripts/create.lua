--[[
create: begin a conversation.
KEYS      those of lib/keys.lua
ARGV      id, owner, about (JSON), ttl (s), cap (s from now, 0: none), keep (events)
REPLY     {OK, born ms} | {DUP, born ms} it is there already, with this owner | {TAKEN} | {GONE} it was deleted
EFFECT    meta
REPEAT    the id is the idempotency key: a repeat changes nothing
--]]
-- include keys clock touch
local id, owner, about, ttl, cap, keep = unpack(ARGV)
local known = call('HMGET', meta, 'state', 'owner', 'born')
if known[1] == 'deleted' then return {'GONE'} end
if known[1] then
  if known[2] ~= owner then return {'TAKEN'} end
  return {'DUP', known[3]}
end
local born = now()
call('HSET', meta, 'id', id, 'owner', owner, 'born', string.format('%.0f', born), 'about', about, 'ttl', ttl,
  'cap', tonumber(cap) > 0 and string.format('%.0f', born + cap * 1000) or '0', 'keep', keep, 'state', 'idle')
touch()
return {'OK', string.format('%.0f', born)}
