--[[
renew: keep the lease of a running turn, and the conversation from expiring.
KEYS      those of lib/keys.lua
ARGV      fence, worker
REPLY     {OK} | {FENCED}
EFFECT    the token's idle time is zero and it is pending for this worker, also where it was pending for none;
          expiry renewed
REPEAT    harmless
--]]
-- include keys clock touch
local known = call('HMGET', meta, 'fence', 'token')
if known[1] ~= ARGV[1] then return {'FENCED'} end
call('XCLAIM', queue, GROUP, ARGV[2], 0, known[2], 'FORCE', 'JUSTID')
touch()
return {'OK'}
