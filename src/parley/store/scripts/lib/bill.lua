-- Count what a turn cost, once: `bytes` of text, or what the model counted (`extra`: JSON fields of the outcome).
-- The turn says who pays, and stops saying so in the same step.
local function bill(turn, bytes, extra)
  local payers = call('HGET', turns, turn .. ':b')
  if not payers then return end
  call('HDEL', turns, turn .. ':b')
  local given = tonumber(string.match(extra, '"input_tokens":(%d+)') or 0)
  local made = tonumber(string.match(extra, '"output_tokens":(%d+)') or 0)
  local tokens = given + made
  if tokens == 0 and bytes > 0 then
    -- Nobody counted: a token is about four bytes, of the answer and of what was asked.
    local asked = string.match(call('HGET', turns, turn) or '', '^[^\n]*\n([^\n]*)') or ''
    tokens = math.ceil((bytes + #asked) / 4)
  end
  if tokens == 0 then return end
  for payer in string.gmatch(payers, '[^\n]+') do call('HINCRBY', spent, payer, tokens) end
  if call('PTTL', spent) < 0 then
    call('PEXPIREAT', spent, string.format('%.0f', (math.floor(call('TIME')[1] / 86400) + 1) * 86400000))
  end
end
