--[[
import: write ended turns into a conversation as they stand elsewhere (fork, migration).
KEYS      those of lib/keys.lua
ARGV      turn, record, outcome of each, oldest first
REPLY     {OK, turns written} | {NONE} | {GONE}
EFFECT    order, turns, head; no events, but the log begins anew behind a new cursor: whoever follows
          takes a snapshot
REPEAT    a turn that is there already is left as it is
--]]
-- include keys clock touch emit
local state = call('HGET', meta, 'state')
if not state then return {'NONE'} end
if state == 'deleted' then return {'GONE'} end
local written = 0
for k = 1, #ARGV, 3 do
  if call('HSETNX', turns, ARGV[k], ARGV[k + 1]) == 1 then
    call('HSET', turns, ARGV[k] .. ':o', ARGV[k + 2])
    call('RPUSH', order, ARGV[k])
    call('HSET', meta, 'head', ARGV[k])
    call('HINCRBY', meta, 'bytes', #ARGV[k + 1] + #ARGV[k + 2])
    written = written + 1
  end
end
if written > 0 then
  call('HSET', meta, 'last', following(call('HGET', meta, 'last') or '0-0'))
  call('XTRIM', log, 'MAXLEN', 0)
end
touch()
return {'OK', written}
