-- The cursor behind a cursor.
local function following(cursor)
  local clock = call('TIME')
  return string.format('%d-%s%06d', string.match(cursor, '^%d+') + 1, clock[1], clock[2])
end

-- Append one event (JSON) to the log, behind `previous` where that is known, and ring the bell with it. Replies the
-- new cursor. Old events are dropped now and then: an XADD that has to look every time costs half as much again.
local TRIM_EVERY = 64
local function emit(event, previous)
  previous = previous or call('HGET', meta, 'last') or '0-0'
  local cursor = following(previous)
  call('XADD', log, cursor, 'p', previous, 'e', event)
  call('HSET', meta, 'last', cursor)
  if string.match(cursor, '^%d+') % TRIM_EVERY == 0 then
    call('XTRIM', log, 'MAXLEN', '~', call('HGET', meta, 'keep') or 2000)
  end
  call('PUBLISH', log, cursor .. ' ' .. previous .. ' ' .. event)
  return cursor
end
