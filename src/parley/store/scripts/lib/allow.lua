-- Rates are token buckets, each kept as one moment (ms): when it will be full again (the generic cell rate algorithm).
-- Budgets are counted by bill.lua, in one hash a shard.
local call = redis.call

-- Whether each rate allows one more. KEYS from `key` on: a bucket each; ARGV from `first` on: how many fit into a minute.
-- Replies the moments behind it, or nil, how long until it does (ms), and which rate is short.
local function allowed(key, first, count, clock)
  local moments = {}
  for k = 0, count - 1 do
    local interval = 60000 / ARGV[first + k]
    local full = math.max(tonumber(call('GET', KEYS[key + k]) or '0'), clock) + interval
    local over = full - clock - 60000
    if over > 0.5 then return nil, math.ceil(over), k + 1 end
    moments[k + 1] = full
  end
  return moments
end

-- Take one of each. Replies what is left by the rate that leaves the least: {limit, remaining, ms until it is full}.
local function take(key, first, moments, clock)
  local limit, remaining, reset = 0, 0, 0
  for k, full in ipairs(moments) do
    call('SET', KEYS[key + k - 1], string.format('%.3f', full), 'PX', math.ceil(full - clock))
    local most = tonumber(ARGV[first + k - 1])
    local left = math.floor((60000 - (full - clock)) * most / 60000 + 0.01)
    if k == 1 or left < remaining then limit, remaining, reset = most, left, math.ceil(full - clock) end
  end
  return limit, remaining, reset
end

-- The first budget that is spent: its place among `count` pairs (name, tokens a day) in ARGV from `first` on; nil: none.
-- KEYS from `key` on: what was spent, a hash a shard.
local function spent_budget(key, first, count)
  for k = 1, count do
    local name, left = ARGV[first + 2 * k - 2], tonumber(ARGV[first + 2 * k - 1])
    for at = key, #KEYS do
      left = left - (call('HGET', KEYS[at], name) or 0)
      if left <= 0 then return k end
    end
  end
end
