-- The cursor behind a cursor.
local function following(cursor)
  local clock = call('TIME')
  return string.format('%d-%.0f', string.match(cursor, '^%d+') + 1, clock[1] * 1000000 + clock[2])
end

-- Append one event (JSON) to the log and ring the bell with it. Replies the new cursor.
local function emit(event)
  local known = call('HMGET', meta, 'last', 'keep')
  local previous = known[1] or '0-0'
  local cursor = following(previous)
  call('XADD', log, 'MAXLEN', '~', known[2] or 2000, cursor, 'p', previous, 'e', event)
  call('HSET', meta, 'last', cursor)
  call('PUBLISH', log, cursor .. ' ' .. previous .. ' ' .. event)
  return cursor
end
