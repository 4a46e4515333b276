"""The sessions there are: who may open one, how long each is kept, and what the log and the metrics learn of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.channels import Channels
from streamer.events import Take
from streamer.fields import WireError, refusing
from streamer.health import Health
from streamer.metrics import Metrics
from streamer.options import Options
from streamer.session import Dialect, Farewell, Feed, Hold, Session, incoming_for
from streamer.wire import Close, Start

log = logging.getLogger("granite_stream")

VISIBLE_CHARACTERS = 8  # of a session's id in the log: enough to find it, too few to take it over


class Worker(Protocol):
    """What sessions ask of the thread that owns the network."""

    def check(self, options: Options) -> None:
        """Raises a ValueError where a stream with these options asks for what cannot be done."""

    def open(self, options: Options, take: Take) -> Feed:
        """Opens a stream; a ValueError says that it cannot do what is asked for."""

    def refusal(self) -> str | None:
        """Why one more would be too much."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service allows; 0 seconds: no limit."""

    most_sessions: int = 64
    resume_seconds: float = 30.0  # without a connection, until a session is forgotten
    idle_seconds: float = 300.0  # without a message from the client
    session_seconds: float = 24 * 3600.0
    options: Options = Options()  # noqa: RUF009 - of streams, where a client does not say; they are frozen


@dataclass(slots=True)
class Entry:
    """A session with what is known of it here."""

    session: Session
    address: str
    opened_at: float  # seconds of the loop's clock
    connections: int = 0
    longest: asyncio.TimerHandle | None = None  # ends it when it has lasted as long as it may
    expiry: asyncio.TimerHandle | None = None  # forgets it when no connection has come back


class Sessions:
    """The registry. Opening, resuming and forgetting all happen here, so the count is always right."""

    def __init__(self, limits: Limits, metrics: Metrics, health: Health) -> None:
        """Starts empty, and without a network: see `begin`."""
        self.limits, self.health = limits, health
        self.worker: Worker | None = None
        self.model = ""
        self.languages: Sequence[str] = ()  # codes of those that it hears
        self.empty = asyncio.Event()
        self.empty.set()
        self.metrics = metrics
        self.channels = Channels()
        self._entries: dict[str, Entry] = {}
        metrics.count_sessions(self.counts)
        metrics.count_watchers(lambda: self.channels.watchers)

    def begin(self, worker: Worker, model: str, languages: Sequence[str] = ()) -> None:
        """The network is loaded: its thread, its name, and the codes of the languages that it hears."""
        self.worker, self.model, self.languages = worker, model, languages
        self.health.loading = False

    def counts(self) -> dict[str, int]:
        """Sessions by whether they have a connection."""
        connected = sum(entry.session.hold is not None for entry in self._entries.values())
        return {"connected": connected, "waiting": len(self._entries) - connected}

    def admit(self) -> Worker:
        """Finds room for one more.

        Raises:
            Farewell: it would be too much.
        """
        assert self.worker is not None, "no connection is taken before the network is loaded"
        most = self.limits.most_sessions
        if self.health.draining:
            kind, why = "draining", "the service is restarting"
        elif len(self._entries) >= most:
            kind, why = "sessions", f"all {most} sessions are taken"
        elif refusal := self.worker.refusal():
            kind, why = "load", refusal
        else:
            return self.worker
        self.metrics.refuse(kind)
        raise Farewell(Close.TRY_LATER, f"try again later: {why}")

    def check(self, start: Start) -> None:
        """Asks whether a stream like this can be heard and written.

        Raises:
            WireError: there is no such audio format, or the model cannot do what is asked for.
        """
        assert self.worker is not None, "no connection is taken before the network is loaded"
        incoming_for(start)
        with refusing():
            self.worker.check(start.options)

    def open(self, start: Start, address: str, dialect: Dialect | None = None) -> Session:
        """A new session, told of in a dialect: the native one if none is given.

        Raises:
            Farewell: one more would be too much.
            WireError: there is no such audio format, or the model cannot do what is asked for.
        """
        self.check(start)  # what can never be is not to be tried again later
        worker = self.admit()
        session = Session(start, worker.open, self.metrics.observe, dialect)
        if start.channel:
            session.speaker = self.channels.speak(start.channel, start.words)
        loop = asyncio.get_running_loop()
        entry = self._entries[session.id] = Entry(session, address, loop.time())
        if seconds := self.limits.session_seconds:
            longest = Farewell(Close.GOING_AWAY, f"a session lasts at most {seconds:g} s")
            entry.longest = loop.call_later(seconds, session.end, longest)
        self.empty.clear()
        audio = {"encoding": start.encoding, "sample_rate": start.sample_rate, "channels": start.channels}
        self._tell(session, "session started", address=address, **audio)
        return session

    def resume(self, start: Start) -> Session:
        """The session that a client goes on with.

        Raises:
            WireError: it is not known here, or its audio is of another format.
        """
        entry = self._entries.get(start.resume or "")
        if entry is None:
            raise WireError("the session to resume is unknown or was given up; start another one", "unknown_session")
        if wrong := start.contradiction(entry.session.start):
            raise WireError(wrong)
        return entry.session

    def attach(self, session: Session, after: int) -> Hold:
        """Gives a connection its hold on a session; it no longer expires.

        Raises:
            WireError: events after that one cannot be told.
        """
        hold = session.attach(after)
        entry = self._entries[session.id]
        entry.connections += 1
        if entry.expiry:
            entry.expiry.cancel()
            entry.expiry = None
        return hold

    def release(self, session: Session, hold: Hold, keep: bool, outcome: str) -> None:
        """A connection is over. Its session waits for another one, if it is worth it."""
        if not session.detach(hold) or session.id not in self._entries:
            return
        if not keep or self.health.draining:
            self.forget(session, outcome)
            return
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(self.limits.resume_seconds, self.forget, session, "expired")
        self._entries[session.id].expiry = expiry

    def forget(self, session: Session, outcome: str) -> None:
        """Gives a session up, and says so in the log."""
        entry = self._entries.pop(session.id)
        for timer in (entry.longest, entry.expiry):
            if timer:
                timer.cancel()
        session.drop()
        if session.speaker:
            self.channels.fall_silent(session.speaker)
        lasted = asyncio.get_running_loop().time() - entry.opened_at
        self._tell(
            session,
            "session ended",
            address=entry.address,
            outcome=outcome,
            seconds=round(lasted, 1),
            audio_seconds=round(session.incoming.seconds, 1),
            finals=session.finals,
            connections=entry.connections,
        )
        if not self._entries:
            self.empty.set()

    def drain(self) -> None:
        """No more sessions; those that have a connection get their finals, the others are given up."""
        self.health.draining = True
        for entry in list(self._entries.values()):
            if entry.session.hold:
                entry.session.end(Farewell(Close.RESTART, "the service is restarting"))
            else:
                self.forget(entry.session, "drained")

    def _tell(self, session: Session, message: str, **fields: object) -> None:
        log.info(message, extra={"fields": {"session": session.id[:VISIBLE_CHARACTERS], **fields}})
