--[[
cancel: stop a turn, here and now, whoever holds it and however they are.
KEYS      those of lib/keys.lua
ARGV      turn
REPLY     {OK, status} cancelled now | {NOOP, status} had ended | {NONE} no such turn
EFFECT    lib/finish.lua: what was said is kept; its holder is fenced out. A waiting turn leaves the line
REPEAT    a turn that has ended stays as it is
--]]
-- include keys clock touch emit issue bill finish
local turn = ARGV[1]
if call('HEXISTS', turns, turn) == 0 then return {'NONE'} end
local outcome = call('HGET', turns, turn .. ':o')
if outcome then return {'NOOP', string.match(outcome, '"status":"([%a_]+)"')} end
call('HDEL', meta, '~')
if call('LINDEX', waiting, 0) == turn then
  finish(turn, 'cancelled', '')
else
  withdraw(turn, 'cancelled', '')
end
return {'OK', 'cancelled'}
