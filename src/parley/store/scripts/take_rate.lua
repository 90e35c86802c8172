--[[
take_rate: do something that is done so often a minute at most.
KEYS      a bucket for each rate
ARGV      1 take, -1 give back; then for each bucket how many fit into a minute
REPLY     {OK, limit, remaining, ms until full} | {SLOW, ms until there is one, which rate is short}
EFFECT    one is taken out of each bucket, or put back; none when one of them is empty
REPEAT    takes another one
--]]
-- include allow clock
local clock = now()
if ARGV[1] == '-1' then
  for k, key in ipairs(KEYS) do
    local full = tonumber(call('GET', key) or '0') - 60000 / ARGV[k + 1]
    if full > clock then
      call('SET', key, string.format('%.3f', full), 'PX', math.ceil(full - clock))
    else
      call('DEL', key)
    end
  end
  return {'OK', 0, 0, 0}
end
local moments, wait, short = allowed(1, 2, #KEYS, clock)
if not moments then return {'SLOW', wait, short} end
return {'OK', take(1, 2, moments, clock)}
