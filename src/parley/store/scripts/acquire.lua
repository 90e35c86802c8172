--[[
acquire: a worker that was given a token takes the conversation's active turn.
KEYS      those of lib/keys.lua
ARGV      id, token, worker, fence (random), most attempts without progress, most attempts, longest wait (ms, 0: any),
          isolate from this attempt on (0: never), the worker this one may take the token over from ('': nobody)
REPLY     {OK, turn, attempts, gen, reply, pieces, record, about, total} | {STALE} nothing to do for this token |
          {NOTMINE} another worker holds it | {DEAD, turn} too many attempts: failed, dead-lettered |
          {LATE, turn} it waited too long: failed | {ISOLATE} the next attempt belongs into a process of its own:
          nothing was done, the token stays with this worker
EFFECT    first time: event `started`; else event `takeover`. Fence and worker set: whoever held the turn before is fenced out.
          Attempts count tries that added no text beyond the longest there ever was
REPEAT    the same fence gets the same grant, and no second attempt is counted; but a fence that was superseded never
          comes back ({NOTMINE}): its holder remembers another text, and two answers would be glued together
--]]
-- include keys clock touch emit issue bill finish
local id, token, worker, fence = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local most, most_total, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local known = call('HMGET', meta, 'token', 'fence', 'turn', 'mark', 'spent')
local function grant(turn)
  local fields = call('HMGET', meta, 'attempts', 'gen', 'about', 'total')
  return {'OK', turn, fields[1], fields[2], call('GET', reply) or '', call('GET', pieces) or '',
    call('HGET', turns, turn), fields[3] or '{}', fields[4]}
end
if known[1] ~= token then
  call('XACK', queue, GROUP, token)
  call('XDEL', queue, token)
  if not known[1] then call('ZREM', active, id) end
  return {'STALE'}
end
if known[2] == fence then return grant(known[3]) end
local spent = known[5] or ' '
if string.find(spent, ' ' .. fence .. ' ', 1, true) then return {'NOTMINE'} end
local pending = call('XPENDING', queue, GROUP, token, token, 1)
if #pending == 0 or (pending[1][2] ~= worker and pending[1][2] ~= (ARGV[9] or '')) then return {'NOTMINE'} end
local turn = call('LINDEX', waiting, 0)
if not turn then
  retract()
  call('HSET', meta, 'state', 'idle')
  call('ZREM', active, id)
  return {'STALE'}
end
local first = known[3] ~= turn
local isolate = tonumber(ARGV[8] or '0')
if isolate > 0 and not first and call('STRLEN', reply) <= tonumber(known[4]) then
  if call('HGET', meta, 'attempts') + 1 >= isolate then return {'ISOLATE'} end
end
if pending[1][2] ~= worker then call('XCLAIM', queue, GROUP, worker, 0, token, 'JUSTID') end
local clock = string.format('%.0f', now())
if first then
  if longest > 0 and clock - string.match(token, '^%d+') > longest then
    finish(turn, 'failed', ',"error":{"code":"queue_timeout","message":"No worker was free in time."}')
    return {'LATE', turn}
  end
  call('HSET', meta, 'turn', turn, 'gen', 1, 'started', clock, 'attempts', 1, 'total', 1, 'mark', 0)
  call('DEL', reply, pieces)
else
  local length = call('STRLEN', reply)
  if length > tonumber(known[4]) then
    call('HSET', meta, 'attempts', 1, 'mark', length)
  else
    call('HINCRBY', meta, 'attempts', 1)
  end
  call('HINCRBY', meta, 'total', 1)
  call('HSET', meta, 'lost', (call('HGET', meta, 'lost') or '') .. clock .. ':' .. length .. ' ')
end
if known[2] and known[2] ~= '' then spent = spent .. known[2] .. ' ' end
call('HSET', meta, 'fence', fence, 'worker', worker, 'spent', spent, 'state', 'running')
local attempts, total = unpack(call('HMGET', meta, 'attempts', 'total'))
if tonumber(attempts) > most or tonumber(total) > most_total then
  call('RPUSH', dead, cjson.encode({conversation = id, turn = turn, attempts = attempts, total = total, at = clock}))
  call('LTRIM', dead, -1000, -1)
  finish(turn, 'failed', ',"error":{"code":"worker_lost","message":"Every worker that tried this turn died."}')
  return {'DEAD', turn}
end
if first then
  emit(string.format('{"type":"started","turn":"%s"}', turn))
else
  emit(string.format('{"type":"takeover","turn":"%s","attempt":%d}', turn, attempts))
end
touch()
return grant(turn)
