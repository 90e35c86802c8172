--[[
post: accept a message, and enqueue its turn.
KEYS      those of lib/keys.lua, then a bucket for each rate, then, if there are budgets, every shard's `spent`
ARGV      turn, body hash, parent ('' = the newest turn, '-' = none), policy (enqueue | reject | interrupt),
          request (JSON), private (JSON), most waiting, most turns, most bytes, most active,
          most ms that a turn may wait for a worker (0: any),
          how many rates, how many fit into a minute of each, then budgets: name and tokens a day
REPLY     {OK, cursor, position} and, if there are rates, {…, limit, remaining, ms until full} | {DUP, status} |
          {CONFLICT} same key, other body | {NONE} no such conversation | {GONE} deleted |
          {PARENT} no such parent turn | {BUSY} too many wait | {REJECT} a reply runs |
          {FULL} the conversation has reached its size | {CROWDED} as many conversations as may be wait or run, or
          the workers do not keep up |
          {SLOW, ms until there is one, which rate is short} | {SPENT, ms until midnight, which budget is}
EFFECT    one taken of each rate, who pays noted; turn record, waiting, order, event `queued`; the token if none is out;
          expiry renewed. interrupt: the active turn is cancelled first, its text kept
REPEAT    the turn id stands for the idempotency key; a repeat also re-issues a token that vanished
--]]
-- include keys clock touch emit issue bill finish allow group backlog
local turn, hash, parent, policy, request, private = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local most_waiting, most_turns, most_bytes = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local most_active, most_backlog = tonumber(ARGV[10]), tonumber(ARGV[11] or '0')
local known = call('HMGET', meta, 'state', 'head', 'turn', 'token', 'bytes')
local state, head = known[1], known[2]
if not state then return {'NONE'} end
if state == 'deleted' then return {'GONE'} end
local record = call('HGET', turns, turn)
if record then
  if string.match(record, '^%S* (%S+)') ~= hash then return {'CONFLICT'} end
  if call('LLEN', waiting) > 0 and (not known[4] or #call('XRANGE', queue, known[4], known[4]) == 0) then issue() end
  local outcome = call('HGET', turns, turn .. ':o')
  if outcome then return {'DUP', string.match(outcome, '"status":"([%a_]+)"')} end
  return {'DUP', known[3] == turn and 'in_progress' or 'queued'}
end
if parent == '' then
  parent = head or '-'
elseif parent ~= '-' and call('HEXISTS', turns, parent) == 0 then
  return {'PARENT'}
end
local ahead = call('LLEN', waiting)
if ahead > 0 and policy == 'reject' then return {'REJECT'} end
if ahead >= most_waiting then return {'BUSY'} end
if call('LLEN', order) >= most_turns or tonumber(known[5] or '0') + #request > most_bytes then return {'FULL'} end
if ahead == 0 and call('ZCARD', active) >= most_active then
  -- Nothing waits or runs for a day: what is as old was left behind by a store that lost what it had.
  call('ZREMRANGEBYSCORE', active, '-inf', string.format('%.0f', now() - 86400000))
  if call('ZCARD', active) >= most_active then return {'CROWDED'} end
end
if ahead == 0 and most_backlog > 0 and backlog(most_backlog) then return {'CROWDED'} end
local rates = tonumber(ARGV[12] or '0')
local payers, count = {}, (#ARGV - 12 - rates) / 2
local short = count > 0 and spent_budget(13 + rates, 13 + rates, count)
if short then return {'SPENT', 86400000 - now() % 86400000, short} end
local clock = rates > 0 and now()
local moments, wait, slow = allowed(13, 13, rates, clock)
if not moments then return {'SLOW', wait, slow} end
local limit, remaining, reset = take(13, 13, moments, clock)
for k = 1, count do payers[k] = ARGV[11 + rates + 2 * k] end
if ahead > 0 and policy == 'interrupt' then
  finish(call('LINDEX', waiting, 0), 'cancelled', '')
  ahead = ahead - 1
end
call('HSET', turns, turn, string.format('%s %s %.0f\n%s\n%s', parent, hash, now(), request, private))
if count > 0 then call('HSET', turns, turn .. ':b', table.concat(payers, '\n')) end
call('RPUSH', waiting, turn)
call('RPUSH', order, turn)
call('HINCRBY', meta, 'bytes', #request)
call('HSET', meta, 'head', turn)
local cursor = emit(string.format('{"type":"queued","turn":"%s","parent":"%s","request":%s}', turn,
  parent == '-' and '' or parent, request))
if ahead == 0 then issue() end
touch()
if rates == 0 then return {'OK', cursor, ahead} end
return {'OK', cursor, ahead, limit, remaining, reset}
