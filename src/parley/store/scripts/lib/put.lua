-- Add pieces (channel letter, text, ...; from index `first` of ARGV on) to the reply, one event each, behind the
-- event `previous`.
-- Replies the reply's new length in bytes, or nil and the length that stands when `offset` is not where it ends
-- and the pieces are not there already. Offset and text make a blind repeat harmless.
local CHANNELS = {r = ',"channel":"reasoning"', t = ',"channel":"tool"'}
local function put(turn, gen, offset, first, previous)
  local length = call('STRLEN', reply)
  if length ~= offset then
    local tail = {}
    for k = first + 1, #ARGV, 2 do tail[#tail + 1] = ARGV[k] end
    tail = table.concat(tail)
    if length == offset + #tail and #tail > 0 and call('GETRANGE', reply, offset, -1) == tail then return length end
    return nil, length
  end
  local fresh = length == 0 and #ARGV > first
  for k = first, #ARGV, 2 do
    local letter, text = ARGV[k], ARGV[k + 1]
    call('APPEND', reply, text)
    call('APPEND', pieces, letter .. #text .. ' ')
    previous = emit(string.format('{"type":"delta","turn":"%s","gen":%d,"offset":%d,"text":%s%s}', turn, gen, length,
      cjson.encode(text), CHANNELS[letter] or ''), previous)
    length = length + #text
  end
  if fresh then -- keys that appear in mid-turn expire with the others
    local left = math.max(call('PTTL', meta), 1000)
    call('PEXPIRE', reply, left)
    call('PEXPIRE', pieces, left)
  end
  return length
end
