-- Renew the expiry of all keys of the conversation, to one shared moment. A turn that waits or runs is never
-- expired under its worker: the absolute cap waits for its end. A server that takes no writes just now can be read.
local function touch()
  local known = call('HMGET', meta, 'ttl', 'cap', 'state')
  local clock = now()
  local at = clock + (known[1] or 60) * 1000
  local cap = tonumber(known[2] or '0')
  if cap > 0 and at > cap then at = cap end
  if known[3] ~= 'idle' and at < clock + 60000 then at = clock + 60000 end
  for k = 1, 7 do redis.pcall('PEXPIREAT', KEYS[k], string.format('%.0f', at)) end
end
