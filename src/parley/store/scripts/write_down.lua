--[[
write_down: write down what was said without asking for an answer: a turn behind the newest one, ended from the beginning.
KEYS      those of lib/keys.lua
ARGV      turn, body hash, request (JSON), private (JSON), most turns, most bytes
REPLY     {OK, cursor} | {DUP} | {CONFLICT} same key, other body | {NONE} no such conversation | {GONE} deleted |
          {FULL} the conversation has reached its size
EFFECT    turn record with its outcome, order, head, events `queued` and `end`; expiry renewed. The line is not touched
REPEAT    the turn id stands for the idempotency key
--]]
-- include keys clock touch emit
local turn, hash, request, private = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local known = call('HMGET', meta, 'state', 'head', 'bytes')
if not known[1] then return {'NONE'} end
if known[1] == 'deleted' then return {'GONE'} end
local record = call('HGET', turns, turn)
if record then
  if string.match(record, '^%S* (%S+)') ~= hash then return {'CONFLICT'} end
  return {'DUP'}
end
if call('LLEN', order) >= tonumber(ARGV[5]) or tonumber(known[3] or '0') + #request > tonumber(ARGV[6]) then
  return {'FULL'}
end
local parent = known[2] or '-'
local at = string.format('%.0f', now())
call('HSET', turns, turn, string.format('%s %s %s\n%s\n%s', parent, hash, at, request, private),
  turn .. ':o', string.format('\n{"status":"completed","ended_at":%s,"finish_reason":"noted"}', at))
call('RPUSH', order, turn)
call('HINCRBY', meta, 'bytes', #request)
call('HSET', meta, 'head', turn)
emit(string.format('{"type":"queued","turn":"%s","parent":"%s","request":%s}', turn,
  parent == '-' and '' or parent, request))
local cursor = emit(string.format('{"type":"end","turn":"%s","status":"completed","length":0}', turn))
touch()
return {'OK', cursor}
