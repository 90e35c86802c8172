"""Errors, as a table.

    ParleyError                       anything a caller may be told; has a code, a status and a type
     +- InvalidRequest        400     the caller's fault
     +- Unauthenticated       401
     +- Forbidden             403
     +- NotFound              404     unknown, or not yours: never told apart
     +- Conflict              409
     +- Gone                  410     was deleted
     +- TooLarge              413
     +- UnsupportedMedia      415
     +- Misdirected           421     wrong Host
     +- TooMany               429     come back after `retry_after`
     +- Unavailable           503     our side is out of reach for now: come back

The envelope on every wire is OpenAI's: ``{"error": {"message", "type", "code", "param"}}``.
"""

from typing import Any, ClassVar


class ParleyError(Exception):
    """An error a caller is told. `code` is stable and for programs, the message is for people."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"

    def __init__(self, code: str, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after

    def envelope(self) -> dict[str, Any]:
        """The body every wire shows, in OpenAI's form."""
        return {"error": {"message": self.message, "type": self.type, "code": self.code, "param": self.param}}


class InvalidRequest(ParleyError):
    status, type = 400, "invalid_request_error"


class Unauthenticated(ParleyError):
    status, type = 401, "authentication_error"


class Forbidden(ParleyError):
    status, type = 403, "permission_error"


class NotFound(ParleyError):
    status, type = 404, "not_found_error"


class Conflict(ParleyError):
    status, type = 409, "conflict_error"


class Gone(ParleyError):
    status, type = 410, "not_found_error"


class TooLarge(ParleyError):
    status, type = 413, "invalid_request_error"


class UnsupportedMedia(ParleyError):
    status, type = 415, "invalid_request_error"


class Misdirected(ParleyError):
    status, type = 421, "invalid_request_error"


class TooMany(ParleyError):
    status, type = 429, "rate_limit_error"


class Unavailable(ParleyError):
    status, type = 503, "service_unavailable"
