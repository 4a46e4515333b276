"""OpenAI's Realtime API for transcription, on `/v1/realtime`: what its clients say and expect. vLLM's variant, too.

A message that is wrong is answered with an error, and the connection goes on, as these clients expect. The stream opens
with the audio; until then everything may be configured, and from then on nothing may change. As some clients begin to
send audio before they have told what it is, the first half second waits for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from streamer.dialects import realtime_messages as messages
from streamer.dialects.items import Items, Utterances
from streamer.dialects.realtime_messages import Append, Clear, Commit, Configuration, Update, new_id
from streamer.dialogue import Opened, attend, receive, sending
from streamer.fields import WireError
from streamer.line import Line
from streamer.session import Session
from streamer.sessions import Sessions
from streamer.sound.incoming import ENCODINGS

HELD_SECONDS = 0.5  # of audio that waits for a configuration


async def speak(socket: Line, sessions: Sessions, address: str) -> None:
    """Everything until the close frame."""
    usual = sessions.limits.options
    client = Client(sessions, Configuration(usual, usual.endpoint_ms))
    await attend(socket, sessions, client.open(socket, address), client.error)


@dataclass(slots=True)
class Client:
    """What one client has asked for, and what it says then."""

    sessions: Sessions
    configuration: Configuration
    name: str = field(default_factory=lambda: new_id("sess"))
    _configured: bool = False  # a configuration has come
    _held: bytearray = field(default_factory=bytearray)  # audio from before the stream is open
    _committed: Commit | None = None  # the message that ends it
    _bytes: int = 0  # of audio so far

    async def open(self, socket: Line, address: str) -> Opened:
        """Takes configurations until there is audio, then opens the stream that they ask for.

        Raises:
            Farewell: one more would be too much, nothing came for long, or nothing was read.
        """
        self.sessions.admit()
        async with sending():
            await socket.send(self._shown("session.created"))
        while not (begun := self._beginning()):
            text = await receive(socket, self.sessions.limits.idle_seconds)
            try:
                told = self._prepare(messages.parse(text))
            except WireError as error:
                told = self.error(error.code, str(error), messages.id_of(text))
            if told:
                async with sending():
                    await socket.send(told)
        it = self.configuration
        dialect = Utterances() if it.vllm else Items(it.turns is not None, it.beta)
        session = self.sessions.open(it.start, address, dialect)

        def begin() -> None:
            for message in begun:
                self._do(message, session, dialect)

        return Opened(session, partial(self.take, session, dialect), begin)

    def _prepare(self, message: messages.Message) -> str | None:
        """Takes a message before the stream is open; what to answer."""
        vllm = self.configuration.vllm
        match message:
            case Update():
                configuration = self.configuration.updated(message)
                self.sessions.check(configuration.start)
                self.configuration, self._configured = configuration, True
                return None if configuration.vllm else self._shown("session.updated")
            case Append(audio=audio):
                self._held += audio
            case Commit(final=final) if final or not vllm:
                if not self._held and not vllm:
                    raise messages.nothing_to_commit()
                self._committed = message
            case Clear() if not vllm:
                self._held.clear()
                return messages.cleared()
        return None

    def _beginning(self) -> list[messages.Message]:
        """What the stream begins with, once it may."""
        start = self.configuration.start
        enough = HELD_SECONDS * start.sample_rate * ENCODINGS[start.encoding][0]
        if self._committed:
            return [Append(bytes(self._held)), self._committed]
        ready = self._held and (self._configured or len(self._held) >= enough)
        return [Append(bytes(self._held))] if ready else []

    def take(self, session: Session, dialect: Items | Utterances, text: str | bytes) -> None:
        """Does what a message asks for, or says what is wrong with it."""
        try:
            self._do(messages.parse(text), session, dialect)
        except WireError as error:
            session.say(self.error(error.code, str(error), messages.id_of(text)))

    def error(self, code: str, message: str, client_event: str | None = None) -> str:
        """What went wrong, in this client's words."""
        return (messages.vllm_error if self.configuration.vllm else messages.error)(code, message, client_event)

    def _do(self, message: messages.Message, session: Session, dialect: Items | Utterances) -> None:
        incoming = session.incoming
        seconds = self._bytes // incoming.frame_bytes / incoming.sample_rate  # of audio so far
        match message:
            case Append(audio=audio):
                self._bytes += len(audio)
                session.hear(audio)
            case Commit(final=final):
                if final or not self.configuration.vllm:  # the other kind, at vLLM, says that audio begins
                    self._finalize(session, *dialect.commit(seconds))
            case Clear():
                self._finalize(session, *dialect.clear(seconds))
            case Update():
                if self.configuration.updated(message) != self.configuration:
                    raise WireError("audio has come already; configure a session before its audio", "session_fixed")
                if not self.configuration.vllm:
                    session.say(self._shown("session.updated"))

    def _finalize(self, session: Session, name: str, told: Sequence[str]) -> None:
        """Draws a border in the stream, and says what is known of it at once."""
        for each in told:
            session.say(each)
        session.finalize(name)
        # what comes now is another buffer: half a sample of this one would make noise of it
        session.incoming.drop_rest()
        self._bytes -= self._bytes % session.incoming.frame_bytes

    def _shown(self, kind: str) -> str:
        return messages.session_event(kind, self.name, self.configuration, self.sessions.model)
