-- The server's clock, in milliseconds.
local call = redis.call
local function now()
  local clock = call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end
