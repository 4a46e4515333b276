"""What can go wrong between a client and a daemon. Every message is one line that says what to do."""

from __future__ import annotations

from clients.plain import one_line
from model.errors import GraniteStreamError
from streamer.wire import Close


class CaptionsError(GraniteStreamError):
    """The root of them. Raised itself when the server gives up on this stream for a reason of its own."""


class AddressError(CaptionsError):
    """The URL is not that of a server."""


class UnreachableError(CaptionsError):
    """Nobody answers, or not for longer than the stream could wait."""


class UnauthorizedError(CaptionsError):
    """The server wants another token."""


class RefusedError(CaptionsError):
    """The server has no room at the moment; later it may."""


class LoadingError(RefusedError):
    """The server was started just now and loads its model; soon it will have room."""


class BadRequestError(CaptionsError):
    """The server does not understand what was asked or sent."""


class ExpiredError(CaptionsError):
    """The connection was lost for too long: the server has forgotten the session."""


HOPELESS = (UnauthorizedError, AddressError, BadRequestError)  # trying again would not help
CODES: dict[str, type[CaptionsError]] = {  # of an error event; others are the root
    "bad_message": BadRequestError,
    "bad_audio": BadRequestError,
    "too_big": BadRequestError,
    "unknown_session": ExpiredError,
}
NONSENSE = (ValueError, KeyError, TypeError, OverflowError)  # what reading a message that is none raises


def of_event(code: str, message: str) -> CaptionsError:
    """The exception for an error that the server told."""
    return CODES.get(code, CaptionsError)(one_line(message))


def of_nonsense(error: Exception) -> CaptionsError:
    """The exception for what no server of captions says; `error` is how we came to know."""
    return CaptionsError(one_line(f"the server breaks the protocol ({error!r}); it may be another version"))


def of_status(url: str, status: int, told: str = "") -> CaptionsError:
    """The exception for a handshake that was answered with this HTTP status, and `told` why."""
    match status:
        case 401:
            return UnauthorizedError(f"{url}: the server wants a token that it knows; pass the one of its --token-file")
        case 403:
            return UnauthorizedError(f"{url}: the server does not let this client in; connect from another place")
        case 404:
            return AddressError(f"{url}: there is a server, but no captions at this path; try /v1/stream")
        case 503 if told.startswith("loading"):
            return LoadingError(f"{url}: the server is still loading its model; try again in a moment")
        case 503 if told.startswith("draining"):
            return RefusedError(f"{url}: the server is being stopped or restarted; try again in a moment")
        case 429 | 500 | 502 | 503 | 504:  # a proxy in front of it says the others
            return RefusedError(f"{url}: the server takes no new streams just now; try again later")
    return AddressError(f"{url}: answers with HTTP status {status}; it may be another program, check host and port")


def of_close(code: int | None, reason: str) -> CaptionsError | None:
    """The exception for a connection that the server closed on purpose; None: it was lost, and may be resumed."""
    match code:
        case Close.TRY_LATER:
            return RefusedError(one_line(reason or "the server is busy; try again later"))
        case Close.RESTART:
            return RefusedError("the server is being restarted; connect again in a moment")
        case Close.GOING_AWAY:
            return CaptionsError(
                one_line(f"the server has ended the stream ({reason or 'it gives no reason'}); connect again")
            )
        case Close.UNSUPPORTED | Close.NOT_TEXT | Close.TOO_BIG:
            return BadRequestError(one_line(f"the server does not take this message: {reason or code}"))
        case Close.TAKEN_OVER:
            return CaptionsError("another connection has resumed this session; only one can have it")
    return None
