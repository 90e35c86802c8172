--[[
audit: see that a conversation with turns that wait has a token that is held, or will be delivered.
KEYS      those of lib/keys.lua
ARGV      id
REPLY     {OK} | {ISSUED} its token was lost | {IDLE} nothing waits
EFFECT    a token that is not in the queue, or was delivered and is pending for no worker, is issued anew; a
          conversation in which nothing waits is no active one
REPEAT    harmless
--]]
-- include keys clock issue group
local token = call('HGET', meta, 'token')
if call('LLEN', waiting) == 0 then
  call('ZREM', active, ARGV[1])
  return {'IDLE'}
end
if token and #call('XRANGE', queue, token, token) == 1 then
  local known = group()
  -- Without a group nothing was delivered: the one that is made next has everything.
  if not known or #call('XPENDING', queue, GROUP, token, token, 1) == 1 then return {'OK'} end
  local at, number = string.match(token, '(%d+)-(%d+)')
  local last, behind = string.match(known['last-delivered-id'], '(%d+)-(%d+)')
  if tonumber(at) > tonumber(last) or (at == last and tonumber(number) > tonumber(behind)) then return {'OK'} end
  call('XDEL', queue, token)
end
issue()
return {'ISSUED'}
