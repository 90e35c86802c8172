-- Put the conversation's one token into the work queue.
local function issue()
  local id = call('HGET', meta, 'id')
  local token = call('XADD', queue, '*', 'c', id)
  call('HSET', meta, 'token', token, 'state', 'queued')
  call('ZADD', active, string.format('%.0f', now()), id)
  return token
end

-- Take the token back: acknowledged and deleted in one step, so that no entry is ever left that nobody sees.
local function retract()
  local token = call('HGET', meta, 'token')
  if token then
    call('XACK', queue, GROUP, token)
    call('XDEL', queue, token)
  end
  call('HDEL', meta, 'lost', 'token', 'fence', 'worker', 'turn', 'gen', 'started', 'attempts', 'total', 'mark', 'spent')
end
