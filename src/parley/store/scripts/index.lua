--[[
index: note that an owner has a conversation, or has it no more.
KEYS      the owner's index: zset of conversation -> when it was last spoken in (unix ms)
ARGV      conversation, add | remove, life of the index (ms; a longer one that it has already stays), how many are kept
REPLY     {OK}
EFFECT    newest first when read in reverse; the oldest beyond the cap are forgotten by the index (not deleted)
--]]
if ARGV[2] == 'remove' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return {'OK'}
end
local clock = redis.call('TIME')
redis.call('ZADD', KEYS[1], string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)), ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[4] - 1)
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return {'OK'}
