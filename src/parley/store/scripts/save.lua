--[[
save: add a message that was said elsewhere, one at a time: what is said waits in the draft, and the answer makes a
turn of it that has ended already.
KEYS      those of lib/keys.lua
ARGV      key (random, names this call), writer, hold (ms), role, message (JSON, without a newline), turn (id if this is
          an answer), most turns, most bytes, then the answer's text in pieces
REPLY     {OK, newest turn before, and now} | {NONE} | {GONE} | {BUSY} a turn waits or runs | {HELD} another writer's user
          message waits for its answer: come back | {FULL}
EFFECT    a message of a user or the system: one line of the draft. A user's holds the conversation for its writer until
          it is answered, or so long. An answer: a turn with the draft's messages, but not those another writer holds;
          events `queued`, `started`, `delta`, `end`; expiry renewed either way
REPEAT    a key among the last ones changes nothing
--]]
-- include keys clock touch emit
local key, writer, hold, role, message, turn = unpack(ARGV, 1, 6)
local known = call('HMGET', meta, 'state', 'head', 'draft', 'saved', 'bytes')
local head, draft, saved = known[2] or '', known[3] or '', known[4] or ' '
if not known[1] then return {'NONE'} end
if known[1] == 'deleted' then return {'GONE'} end
if string.find(saved, ' ' .. key .. ' ', 1, true) then
  local parent = string.match(call('HGET', turns, turn) or '', '^(%S+)')
  return {'OK', parent == '-' and '' or parent or head, head}
end
if known[1] ~= 'idle' then return {'BUSY'} end

local clock, inputs, held = now(), {}, {}
for line in string.gmatch(draft, '[^\n]+') do
  local who, till, said = string.match(line, '^(%S+) (%d+) (.*)$')
  if who ~= writer and tonumber(till) > clock then
    held[#held + 1] = line .. '\n'
  else
    inputs[#inputs + 1] = said
  end
end
if role == 'user' and #held > 0 then return {'HELD'} end
local size = #message
for k = 9, #ARGV do size = size + #ARGV[k] end
if tonumber(known[5] or '0') + #draft + size > tonumber(ARGV[8]) then return {'FULL'} end
if role == 'assistant' and call('LLEN', order) >= tonumber(ARGV[7]) then return {'FULL'} end

call('HSET', meta, 'saved', string.sub(saved, -200) .. key .. ' ')
if role ~= 'assistant' then
  local till = role == 'user' and clock + hold or 0
  call('HSET', meta, 'draft', string.format('%s%s %.0f %s\n', draft, writer, till, message))
  touch()
  return {'OK', head, head}
end

local request = string.format('{"input":[%s]}', table.concat(inputs, ','))
local body, sizes = table.concat(ARGV, '', 9), {}
for k = 9, #ARGV do sizes[#sizes + 1] = #ARGV[k] end
local parent = head ~= '' and head or '-'
call('HSET', turns, turn, string.format('%s %s %.0f\n%s\n{}', parent, key, clock, request), turn .. ':o',
  string.format('\n{"status":"completed","body":%s,"pieces":"%s","generation":1,"started_at":%.0f,"ended_at":%.0f,"attempts":1}',
    cjson.encode(body), table.concat(sizes, ' '), clock, clock))
call('RPUSH', order, turn)
call('HSET', meta, 'head', turn, 'draft', table.concat(held))
call('HINCRBY', meta, 'bytes', #request + #body)
emit(string.format('{"type":"queued","turn":"%s","parent":"%s","request":%s}', turn, head, request))
emit(string.format('{"type":"started","turn":"%s"}', turn))
local offset = 0
for k = 9, #ARGV do
  emit(string.format('{"type":"delta","turn":"%s","gen":1,"offset":%d,"text":%s}', turn, offset, cjson.encode(ARGV[k])))
  offset = offset + #ARGV[k]
end
call('HSET', meta, 'ended', emit(string.format('{"type":"end","turn":"%s","status":"completed","length":%d}', turn, offset)))
touch()
return {'OK', head, turn}
