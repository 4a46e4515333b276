"""What a user may type behind `granite-stream serve`, checked. Loads nothing."""

from __future__ import annotations

import argparse
import ssl
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.address import PORT
from clients.arguments import (
    Complain,
    Parser,
    add_compute,
    add_model_options,
    add_stream_options,
    add_wishes,
    number,
    stream_options,
)
from streamer.access import Access, is_loopback, origin, read_tokens
from streamer.options import Options
from streamer.sessions import Limits

STRANGERS_CONNECTIONS = 16  # of one address where others than this machine can connect

EPILOG = """\
GET /health, /ready and /metrics answer on the same port; captions are at ws://HOST:PORT/v1/stream;
clients of OpenAI Realtime, Deepgram and Vosk find theirs at /v1/realtime, /v1/listen and /vosk.
SIGTERM lets running sessions finish (--drain-seconds); a second one ends at once.
exit codes: 0 ended as asked, 1 failed at run time, 2 wrong usage"""


@dataclass(frozen=True, slots=True)
class Serving:
    """A service as it is to run."""

    host: str
    port: int
    wyoming_port: int | None
    access: Access
    limits: Limits
    tls: ssl.SSLContext | None
    drain_seconds: float
    log_json: bool
    model: Namespace  # what `add_model_options` and `add_compute` ask


def parse(arguments: Sequence[str], complain: Complain) -> Serving:
    """The service that these arguments describe.

    Raises:
        SystemExit: help was asked for (0), or they make no sense, or a file they name cannot be used (2).
    """
    parser = _parser(complain)
    given = parser.parse_args(arguments)
    try:
        return _serving(given, stream_options(parser, given))
    except ValueError as error:
        parser.error(str(error))


def _serving(given: Namespace, options: Options) -> Serving:
    return Serving(
        host=given.host,
        port=given.port,
        wyoming_port=_wyoming_port(given),
        access=_access(given),
        limits=Limits(
            most_sessions=given.max_sessions,
            resume_seconds=given.resume_seconds,
            idle_seconds=given.idle_seconds,
            session_seconds=given.max_session_seconds,
            options=options,
        ),
        tls=_tls(given.tls_cert, given.tls_key),
        drain_seconds=given.drain_seconds,
        log_json=given.log_json,
        model=given,
    )


def _access(given: Namespace) -> Access:
    try:
        tokens = read_tokens(given.token_file) if given.token_file else frozenset()
    except OSError as error:
        raise ValueError(f"--token-file {given.token_file}: {error.strerror}") from None
    if not (is_loopback(given.host) or tokens or given.insecure):
        raise ValueError(
            f"--host {given.host} lets other machines connect; give --token-file FILE, or --insecure if all may"
        )
    most = given.max_per_address
    if most is None:
        most = 0 if is_loopback(given.host) else STRANGERS_CONNECTIONS
    return Access(tokens, frozenset(map(origin, given.allow_origin)), most)


def _wyoming_port(given: Namespace) -> int | None:
    if given.wyoming_port is None:
        return None
    if not given.insecure and (given.token_file or not is_loopback(given.host)):
        raise ValueError(
            f"--wyoming-port lets all who reach {given.host} connect, as its protocol knows no tokens; "
            "give --insecure if they may"
        )
    return int(given.wyoming_port)


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise ValueError("--tls-key goes with --tls-cert")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"--tls-cert {certificate}: no certificate with its key ({error.strerror or error})") from None
    return context


def _parser(complain: Complain) -> Parser:
    parser = Parser(
        complain,
        prog="granite-stream serve",
        description="The daemon: live captions for many speakers, over WebSockets.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=number(int, 0, 65_535), default=PORT, help=f"(default: {PORT}; 0: any free one)")
    parser.add_argument(
        "--wyoming-port",
        type=number(int, 0, 65_535),
        metavar="PORT",
        help="for Home Assistant, beside the other one; usually 10300 (default: none)",
    )

    who = parser.add_argument_group("who may connect")
    who.add_argument("--token-file", type=Path, metavar="FILE", help="tokens, one a line; needed beyond this machine")
    who.add_argument("--insecure", action="store_true", help="other machines may connect without a token")
    who.add_argument("--allow-origin", action="append", default=[], metavar="ORIGIN", help="whose pages may connect")
    who.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain, PEM")
    who.add_argument("--tls-key", type=Path, metavar="FILE", help="its key, if it is not in the same file")
    who.add_argument(
        "--max-per-address",
        type=number(int, 0),
        metavar="N",
        help=f"connections of one address; 0: any number (default beyond this machine: {STRANGERS_CONNECTIONS})",
    )

    plain = Limits()
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-sessions",
        type=number(int, 1),
        default=plain.most_sessions,
        metavar="N",
        help=f"at once (default: {plain.most_sessions})",
    )
    for name, default, text in (
        ("--resume-seconds", plain.resume_seconds, "a session is kept after its connection broke"),
        ("--idle-seconds", plain.idle_seconds, "a client may send nothing; 0: for ever"),
        ("--max-session-seconds", plain.session_seconds, "a session may last; 0: for ever"),
        ("--drain-seconds", 30.0, "running sessions get to finish after SIGTERM"),
    ):
        seconds = number(float, 0)
        limits.add_argument(name, type=seconds, default=default, metavar="S", help=f"{text} (default: {default:.0f})")

    model = parser.add_argument_group("model")
    add_model_options(model)
    add_compute(model)
    add_stream_options(parser.add_argument_group("sessions whose client does not say"))
    add_wishes(parser)
    parser.add_argument("--log-json", action="store_true", help="log lines are JSON")
    return parser
