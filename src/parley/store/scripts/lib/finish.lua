-- End the turn at the head of the waiting list: outcome from the reply's own bytes, end event, token taken back,
-- next token or idle, all in one step. extra: more fields of the outcome, as ',"name":value...' or ''.
local function finish(turn, status, extra)
  local known = call('HMGET', meta, 'turn', 'gen', 'started', 'total', 'fence', 'lost')
  local started = known[1] == turn
  local body, boundaries = '', ''
  if started then
    body, boundaries = call('GET', reply) or '', call('GET', pieces) or ''
  end
  local outcome = string.format(
    '{"status":"%s","body":%s,"pieces":"%s","generation":%d,"started_at":%.0f,"ended_at":%.0f,"attempts":%d%s}',
    status, cjson.encode(body), boundaries, started and known[2] or 0, started and known[3] or 0, now(),
    started and known[4] or 0, (started and known[6] and ',"lost":"' .. known[6] .. '"' or '') .. extra)
  call('HSET', turns, turn .. ':o', (started and known[5] or '') .. '\n' .. outcome)
  call('HINCRBY', meta, 'bytes', #body)
  bill(turn, #body, extra)
  call('LPOP', waiting)
  call('DEL', reply, pieces)
  retract()
  local cursor = emit(string.format('{"type":"end","turn":"%s","status":"%s","length":%d%s}', turn, status, #body, extra))
  call('HSET', meta, 'ended', cursor, 'state', 'idle')
  if call('LLEN', waiting) > 0 then
    issue()
  else
    call('ZREM', active, call('HGET', meta, 'id'))
  end
  touch()
end

-- End a turn that waits behind another one: it leaves the line, with no reply.
local function withdraw(turn, status, extra)
  call('HSET', turns, turn .. ':o', string.format('\n{"status":"%s","ended_at":%.0f%s}', status, now(), extra))
  call('LREM', waiting, 1, turn)
  bill(turn, 0, '')
  emit(string.format('{"type":"end","turn":"%s","status":"%s","length":0%s}', turn, status, extra))
end
