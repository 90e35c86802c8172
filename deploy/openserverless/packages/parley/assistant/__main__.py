#--kind python:default
#--web true
#--timeout 300000
#--param PARLEY_URL "$PARLEY_URL"
#--param PARLEY_TOKEN "$PARLEY_TOKEN"
#--param PARLEY_ASSISTANT "$PARLEY_ASSISTANT"
#--param PARLEY_LOGIN "$PARLEY_LOGIN"
#--param PARLEY_STREAM_ALLOW "$PARLEY_STREAM_ALLOW"
#--param REDIS_URL "$REDIS_URL"
#--param REDIS_PREFIX "$REDIS_PREFIX"
#--annotation index '50:Parley:Assistant:parley:'
"""An assistant of a Parley server as an OpenServerless action: a turn for each call, streamed where that is asked for.

The turn is the server's: when this action ends, by its deadline or because nobody listens any more, the answer goes
on being written and stored, and the next call with the same state and an empty input gets the rest.
"""

import os
import time

import ask
import callers
import relay

# What is left of the time the platform gives, for the last words and the reply.
SPARE_SECONDS = 2.0
# The longest answer that fits into the platform's limit of a megabyte for a result.
OUTPUT_BYTES = 900_000


def main(args):
    """Answer one call. Settings come bound to the action (or by its environment), the rest from whoever calls."""
    try:
        listener = relay.connect(args, setting(args, "PARLEY_STREAM_ALLOW"))
    except relay.Refused as refused:
        return {"statusCode": 403, "body": {"output": error(refused)}}
    except OSError as reason:
        return {"statusCode": 502, "body": {"output": error(f"the stream cannot be reached: {reason}")}}
    # From here on whoever listens is told everything, the end as well.
    reply = Reply(listener)
    try:
        serve(args, reply)
    except (ask.Failed, callers.Unknown) as reason:
        reply.add({"output": error(reason)})
    except Exception as reason:
        print(f"{type(reason).__name__}: {reason}")  # for the activation's log
        reply.add({"output": error("something went wrong on our side")})
    finally:
        reply.end()
    return {"body": reply.body()}


def serve(args, reply):
    """Ask the server and pass on what it says."""
    server = ask.Server(setting(args, "PARLEY_URL"), setting(args, "PARLEY_TOKEN"))
    body = {name: args[name] for name in ("input", "state") if name in args}
    body.update(
        callers.identify(
            args.get("token"),
            setting(args, "PARLEY_LOGIN") or "parley",
            setting(args, "REDIS_URL"),
            setting(args, "REDIS_PREFIX"),
        )
    )
    assistant = setting(args, "PARLEY_ASSISTANT") or "assistant"
    for item in server.ask(assistant, body, os.environ.get("__OW_ACTIVATION_ID", ""), due()):
        if not reply.add(item):
            return  # nobody listens any more; the server notices when we hang up, and keeps the answer


def setting(args, name):
    """A setting. What is bound to a web action cannot be set by its caller; the environment never can."""
    return os.environ.get(name) or str(args.get(name) or "")


def due():
    """When the answer is due, by the monotonic clock; None where the platform sets no deadline."""
    deadline = os.environ.get("__OW_DEADLINE", "")
    if not deadline.isdigit():
        return None
    return time.monotonic() + int(deadline) / 1000 - time.time() - SPARE_SECONDS


def error(reason):
    """Why there is no answer, for people."""
    return f"\n\n[error: {str(reason).rstrip('.')}]"


class Reply:
    """What is told: to whoever listens, at once, and to the platform in the end."""

    def __init__(self, listener):
        self._listener = listener
        self._output = []
        self._bytes = 0
        self._state = None

    def add(self, item):
        """Pass on one object of the server's. Tells whether anybody still wants more."""
        if item.get("state"):
            self._state = item["state"]
        text = item.get("output") or ""
        self._bytes += len(text.encode())
        if self._bytes <= OUTPUT_BYTES:
            self._output.append(text)
        if self._listener is None:
            return True
        return self._listener.tell(item)

    def end(self):
        """Nothing more is told."""
        if self._listener is not None:
            self._listener.end()

    def body(self):
        """The reply, with the keys that Pinocchio knows and no others."""
        body = {"output": "".join(self._output).lstrip("\n"), "streaming": True}
        if self._bytes > OUTPUT_BYTES:
            body["output"] += "\n\n[cut off: the platform's results may not be longer]"
        if self._state:
            body["state"] = self._state
        return body
