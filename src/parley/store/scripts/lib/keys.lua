-- The keys of one conversation and of its shard, in the order every conversation script gets them.
-- All share one hash tag, so each script is one atomic step, on one server or on a cluster.
--
--   meta     hash    what is true now (fields below)
--   log      stream  the events, ids <seq>-<microseconds>, fields p = id of the event before, e = the event (JSON);
--                    the channel of the same name is its bell
--   reply    string  text of the reply in progress, this generation: the only source of the final message
--   pieces   string  its piece boundaries (see core.pieces)
--   order    list    turn ids in the order they were accepted
--   turns    hash    <turn> -> "<parent> <body hash> <accepted ms>\n<request JSON>\n<private JSON>"
--                    <turn>:b -> "<budget>\n<budget>...": who pays, until it is counted (bill.lua)
--                    <turn>:o -> "<closing fence>[ <mark>...]\n<outcome JSON>", once the turn has ended (marks: take_out)
--   waiting  list    turn ids not ended yet; the head is the active one
--   queue    stream  the shard's work queue, group w; at most one token a conversation
--   active   zset    conversations that have a token
--   dead     list    dead letters
--   spent    hash    tokens of replies that ended today (UTC), by who pays; gone at midnight (bill.lua)
--   full     zset    workers that have no place for another turn (full.lua)
--
-- Fields of meta: id, owner, born, about (JSON), ttl (s), cap (ms, 0 none), keep (events); state idle queued
-- running deleted; last (cursor), head (newest turn), ended (cursor of the last end), bytes (stored text);
-- token (queue entry); and while a turn runs: turn, fence, worker, gen, started (ms), attempts, total, mark (the longest
-- its reply ever was), spent (fences that were superseded), lost (for each takeover
-- when, in ms, and the reply's length, as `ms:bytes `). Of what is saved message by message (save.lua): draft
-- (lines of writer, held until ms, message JSON), saved (the last keys). share: what is kept
-- of the link it may be read by (share.lua).
local meta, log, reply, pieces, order = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local turns, waiting, queue, active = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local dead, spent, full = KEYS[10], KEYS[11], KEYS[12]
local call = redis.call
local GROUP = 'w'
