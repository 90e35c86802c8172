"""What a Redis user needs to run Parley: keys and channels under one prefix, and these commands.

docs/reference/redis-acl.md quotes it; the tests run everything there is under it, and refuse a command nobody needs.
"""

# What the scripts call.
SCRIPTED = (
    "append", "del", "get", "getrange", "hdel", "hexists", "hget", "hgetall", "hincrby", "hmget", "hset",
    "hsetnx", "lindex", "llen", "lpop", "lpos", "lrange", "lrem", "ltrim", "pexpire", "pexpireat", "pttl", "publish",
    "rpush", "set", "strlen", "time", "xack", "xadd", "xclaim", "xdel", "xgroup|delconsumer", "xinfo|consumers",
    "xinfo|groups", "xpending", "xrange", "xtrim", "zadd", "zcard", "zrem", "zremrangebyrank", "zremrangebyscore",
    "zscore",
)  # fmt: skip

# What is sent as it is.
DIRECT = (
    "del", "eval", "evalsha", "hget", "hmget", "info", "llen", "ping", "script|load", "set", "strlen", "subscribe",
    "time", "unsubscribe", "xautoclaim", "xgroup|create", "xinfo|consumers", "xlen", "xpending", "xrange",
    "xreadgroup", "zrevrange",
)  # fmt: skip

# Only servers that have replicas are asked.
REPLICATED = ("wait",)

# Only servers that have it are asked (Redis and Valkey 7.2 and up).
NEWER = ("waitaof",)

# What a cluster's nodes are asked besides, and what is scripted there from Redis 7 on. Older ones lack the last three.
CLUSTERED = ("asking", "cluster|info", "cluster|slots", "spublish", "ssubscribe", "sunsubscribe")


def acl_rules(prefix: str, *, newer: bool = False, clustered: bool = False) -> list[str]:
    """The rules that follow ``ACL SETUSER <name> on ><password>`` for a deployment of this prefix."""
    commands = sorted({*SCRIPTED, *DIRECT, *REPLICATED, *(NEWER if newer else ()), *(CLUSTERED if clustered else ())})
    return ["resetkeys", f"~{prefix}*", "resetchannels", f"&{prefix}*", "-@all", *(f"+{name}" for name in commands)]
