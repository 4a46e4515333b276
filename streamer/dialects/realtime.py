"""OpenAI's Realtime API for transcription, on `/v1/realtime`: what its clients say and expect. vLLM's variant, too.

A message that is wrong is answered with an error, and the connection goes on, as these clients expect. The stream opens
with the first audio; until then everything may be configured, and from then on nothing may change.
"""

from __future__ import annotations

from websockets.exceptions import ConnectionClosed

from streamer.dialects import realtime_wire as wire
from streamer.dialects.items import Items, Utterances
from streamer.dialects.realtime_wire import Append, Clear, Commit, Configuration, Update
from streamer.dialogue import attend, farewell_for, part, receive
from streamer.fields import WireError
from streamer.line import Line
from streamer.session import Farewell, Session
from streamer.sessions import Sessions


async def speak(socket: Line, sessions: Sessions, address: str) -> None:
    """Everything until the close frame."""
    configuration = Configuration(sessions.limits.options)
    name = wire.new_id("sess")
    try:
        sessions.admit()
        await socket.send(wire.session_event("session.created", name, configuration, sessions.model))
        configuration, first = await _configured(socket, sessions, name, configuration)
        dialect = Utterances() if configuration.vllm else Items(configuration.turns is not None, configuration.beta)
        session = sessions.open(configuration.start, address, dialect)
    except ConnectionClosed:
        return  # it left before it said anything
    except (Farewell, WireError) as refusal:
        await part(socket, sessions, farewell_for(refusal), wire.error)
        return
    client = Client(session, dialect, configuration, name, sessions.model)
    client.take(first)
    await attend(socket, sessions, session, client.take, client.error)


async def _configured(
    socket: Line, sessions: Sessions, name: str, configuration: Configuration
) -> tuple[Configuration, str | bytes]:
    """Takes configurations until there is audio; gives what holds, and the message that came after them.

    Raises:
        Farewell: nothing came for long.
    """
    while True:
        text = await receive(socket, sessions.limits.idle_seconds)
        try:
            message = wire.parse(text)
            if not isinstance(message, Update):
                return configuration, text
            configuration = configuration.updated(message)
        except WireError as error:
            await socket.send(wire.error(error.code, str(error), wire.id_of(text)))
        else:
            await socket.send(wire.session_event("session.updated", name, configuration, sessions.model))


class Client:
    """What comes from one client, once its stream is open."""

    def __init__(
        self, session: Session, dialect: Items | Utterances, configuration: Configuration, name: str, model: str
    ) -> None:
        self._session, self._dialect, self._configuration = session, dialect, configuration
        self._name, self._model = name, model
        self._bytes = 0  # of audio so far
        self.error = wire.vllm_error if configuration.vllm else wire.error

    def take(self, text: str | bytes) -> None:
        """Does what a message asks for, or says what is wrong with it."""
        try:
            self._do(wire.parse(text))
        except WireError as error:
            self._session.say(self.error(error.code, str(error), wire.id_of(text)))

    def _do(self, message: wire.Message) -> None:
        match message:
            case Append(audio=audio):
                self._bytes += len(audio)
                self._session.hear(audio)
            case Commit(final=final):
                if final or not self._configuration.vllm:
                    name, messages = self._dialect.commit(self._audio_seconds)
                    for each in messages:
                        self._session.say(each)
                    self._session.finalize(name)
            case Clear():
                if isinstance(self._dialect, Utterances):
                    raise WireError("this dialect has no clear", "unknown_type")
                self._session.finalize(self._dialect.clear(self._audio_seconds))
            case Update():
                if self._configuration.updated(message) != self._configuration:
                    raise WireError("audio has come already; configure a session before its audio", "session_fixed")
                if not self._configuration.vllm:
                    updated = "session.updated", self._name, self._configuration, self._model
                    self._session.say(wire.session_event(*updated))

    @property
    def _audio_seconds(self) -> float:
        incoming = self._session.incoming
        return self._bytes / incoming.frame_bytes / incoming.sample_rate
