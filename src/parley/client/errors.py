"""What can go wrong for a client, as a table. Each message says what to do.

Error                   anything below; `code` is for programs, the message for people
 +- Unreachable         no server answers, or it cannot serve now: start one, or come back
 +- NotAllowed          token missing, wrong or expired
 +- InvalidRequest      what was asked makes no sense; `param` names the part
 +- NotFound            no such conversation, turn or model, or not yours; also: it was deleted
 +- Conflict            the key was used for another message, or a reply runs and the policy is "reject"
 +- Busy                too much at once: come back after `retry_after` seconds
 +- ServerFault         the server failed; its log knows more
 +- ModelError          the reply failed: the model, or the way to it
 +- Rewound             text that was already handed out was withdrawn: iterate `Reply.changes()` to be told how
 +- Closed              this client was closed; what was accepted is answered all the same
"""

from parley.core.turn import TurnError


class Error(Exception):
    """Anything that goes wrong for a client.

    Attributes:
        code: stable, for programs.
        param: the part of the request that is at fault, if one is.
        retry_after: seconds after which it makes sense to come back, if the server said so.
        reason: the message without what to do.
    """

    code = "error"

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.retry_after = retry_after
        self.reason = message


class Unreachable(Error):
    code = "unreachable"


class NotAllowed(Error):
    code = "not_allowed"


class InvalidRequest(Error):
    code = "invalid_request"


class NotFound(Error):
    code = "not_found"


class Conflict(Error):
    code = "conflict"


class Busy(Error):
    code = "busy"


class ServerFault(Error):
    code = "server_error"


class ModelError(Error):
    code = "model_error"


class Rewound(Error):
    code = "rewound"


class Closed(Error):
    code = "closed"


CLOSED = "The client was closed. What was accepted is answered all the same."
# The types of the error envelope (parley.core.errors) and what they are here.
TYPES: dict[str, type[Error]] = {
    "invalid_request_error": InvalidRequest,
    "authentication_error": NotAllowed,
    "permission_error": NotAllowed,
    "not_found_error": NotFound,
    "conflict_error": Conflict,
    "rate_limit_error": Busy,
    "service_unavailable": Unreachable,
}
ADVICE: dict[type[Error], str] = {
    NotAllowed: "Give the access key with --token or PARLEY_TOKEN.",
    Busy: "Wait a moment and say it again.",
    Unreachable: "Try again in a moment.",
    ServerFault: "The server's log knows more.",
}
# By code, where the type says too little.
ADVICE_BY_CODE = {
    "not_found": "A server's URL ends before /api and /v1: check --url or PARLEY_URL.",
    "conversation_not_found": "It was deleted, has expired or is not yours: conversations() lists what there is.",
    "turn_not_found": "history() lists the conversation's turns.",
    "model_not_found": "models() lists what there is.",
    "assistant_not_found": "models() lists what there is.",
    "idempotency_key_reused": "Give each message a key of its own.",
    "reply_in_progress": 'Wait for it or cancel it, or say this with policy="enqueue".',
}


def error_of(
    kind: str, code: str, message: str, *, param: str | None = None, retry_after: float | None = None
) -> Error:
    """The error that an envelope stands for, with what to do about it."""
    kind_of_error = TYPES.get(kind, ServerFault)
    advice = ADVICE_BY_CODE.get(code) or ADVICE.get(kind_of_error)
    said = message.strip() or code or "The server gave no reason."
    if param and code == "invalid_value" and param not in said:
        # What is wrong with a value, without saying with which.
        said = f"{param}: {said}"
    told = f"{said} {advice}" if advice else said
    error = kind_of_error(told, code=code or None, param=param, retry_after=retry_after)
    error.reason = said
    return error


def model_error(error: TurnError | None) -> ModelError:
    """The error of a reply that failed."""
    if error is None:
        return ModelError("The reply failed and the server gave no reason. Ask again.")
    return ModelError(f"{error.message} (Ask again, or another model.)", code=error.code)
