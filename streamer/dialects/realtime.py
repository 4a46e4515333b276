"""OpenAI's Realtime API for transcription, on `/v1/realtime`: what its clients say and expect. vLLM's variant, too.

A message that is wrong is answered with an error, and the connection goes on, as these clients expect. The stream opens
with the first audio; until then everything may be configured, and from then on nothing may change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from streamer.dialects import realtime_messages as messages
from streamer.dialects.items import Items, Utterances
from streamer.dialects.realtime_messages import Append, Clear, Commit, Configuration, Update, new_id
from streamer.dialogue import Opened, attend, receive
from streamer.fields import WireError
from streamer.line import Line
from streamer.session import Session
from streamer.sessions import Sessions


async def speak(socket: Line, sessions: Sessions, address: str) -> None:
    """Everything until the close frame."""
    client = Client(sessions, Configuration(sessions.limits.options))
    await attend(socket, sessions, client.open(socket, address), client.error)


@dataclass(slots=True)
class Client:
    """What one client has asked for, and what it says then."""

    sessions: Sessions
    configuration: Configuration
    name: str = field(default_factory=lambda: new_id("sess"))
    _bytes: int = 0  # of audio so far

    async def open(self, socket: Line, address: str) -> Opened:
        """Takes configurations until there is audio, then opens the stream that they ask for.

        Raises:
            Farewell: one more would be too much, or nothing came for long.
        """
        self.sessions.admit()
        await socket.send(self._shown("session.created"))
        while True:
            text = await receive(socket, self.sessions.limits.idle_seconds)
            try:
                message = messages.parse(text)
                if not isinstance(message, Update):
                    break
                configuration = self.configuration.updated(message)
                self.sessions.check(configuration.start)
                self.configuration = configuration
            except WireError as error:
                await socket.send(self.error(error.code, str(error), messages.id_of(text)))
            else:
                if not self.configuration.vllm:
                    await socket.send(self._shown("session.updated"))
        it = self.configuration
        dialect = Utterances() if it.vllm else Items(it.turns is not None, it.beta)
        session = self.sessions.open(it.start, address, dialect)
        return Opened(session, partial(self.take, session, dialect), text)

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
        seconds = self._bytes / incoming.frame_bytes / incoming.sample_rate  # of audio so far
        match message:
            case Append(audio=audio):
                self._bytes += len(audio)
                session.hear(audio)
            case Commit(final=final):
                if final or not self.configuration.vllm:  # the other kind, at vLLM, says that audio begins
                    name, told = dialect.commit(seconds)
                    for each in told:
                        session.say(each)
                    session.finalize(name)
            case Clear():
                session.finalize(dialect.clear(seconds))
            case Update():
                if self.configuration.updated(message) != self.configuration:
                    raise WireError("audio has come already; configure a session before its audio", "session_fixed")
                if not self.configuration.vllm:
                    session.say(self._shown("session.updated"))

    def _shown(self, kind: str) -> str:
        return messages.session_event(kind, self.name, self.configuration, self.sessions.model)
