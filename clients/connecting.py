"""`granite-stream connect`: recordings or a microphone to a daemon, its captions to the terminal and the files."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import numpy as np

from clients.address import whole
from clients.arguments import (
    DONE,
    FAILED,
    INTERRUPTED,
    Complain,
    Parser,
    add_speed,
    add_stream_options,
    add_wishes,
    channel,
    refuse_beside_mic,
    refuse_terminal,
    stream_options,
)
from clients.asking import choices, read_token, stream_at
from clients.background import in_background
from clients.connection import once_loaded
from clients.errors import CaptionsError
from clients.outputs import add_transcript, make_directory, outputs, settle_format, transcript_path
from clients.signals import Departure
from clients.succession import Succession
from clients.suspension import Suspension
from clients.views import Audience
from model.errors import AudioError
from streamer.sound.incoming import SAMPLE_RATE, Samples
from streamer.sound.pace import at_the_speed_of_speech
from streamer.sound.recordings import open_recording

TURN_SAMPLES = SAMPLE_RATE // 10  # what is sent at once


def main(arguments: Sequence[str], complain: Complain) -> int:
    """Runs the command and gives its exit code; `complain` tells the user one line.

    Raises:
        SystemExit: help was asked for (0), or it makes no sense (2).
        GraniteStreamError: the daemon cannot be reached or gives up, or a file cannot be read or written.
        OSError: captions cannot be written; a broken pipe has a reader that wants no more.
    """
    given = parse(arguments, complain)
    if given.mic:
        from clients.speaking import speak  # loads sound libraries

        return speak(given, given.token, complain)
    if given.output:
        make_directory(given.output)
    return asyncio.run(Visit(given, given.token, complain).run())


class Visit:
    """Brings the recordings to the daemon one after the other, each as a stream of its own."""

    def __init__(self, given: argparse.Namespace, token: str | None, complain: Complain) -> None:
        self._given, self._token, self._complain = given, token, complain
        self._interruptions, self._suspension = 0, Suspension()
        self._speaking: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """The exit code. What is wrong with one recording does not stop the others."""
        loop, everything = asyncio.get_running_loop(), asyncio.current_task()
        assert everything is not None, "asyncio.run makes a task"
        with suppress(ValueError, RuntimeError):  # not the main thread: it just ends
            loop.add_signal_handler(signal.SIGINT, self._interrupt, everything)
        departure, code = Departure(everything), DONE
        try:
            for path, output in zip(self._given.files, self._given.outputs, strict=True):
                try:
                    await self._transcribe(path, output)
                except AudioError as error:
                    self._complain(str(error))
                    code = FAILED
        except asyncio.CancelledError:
            if not (departure.code or self._interruptions):
                raise
            return departure.code or INTERRUPTED
        return code

    async def _transcribe(self, path: str, output: Path | None) -> None:
        async with aclosing(in_background(lambda: self._pieces(path))) as pieces:
            await anext(pieces)  # it can be opened; otherwise the daemon need not know
            stream = stream_at(self._given.url, self._token, self._given.choices)
            async with once_loaded(stream, self._complain, live=False) as captions:
                streams = Succession(captions, self._complain, stream, live=False)
                await self._caption(streams, pieces, output)

    async def _caption(self, streams: Succession, pieces: AsyncIterator[Samples], output: Path | None) -> None:
        with (
            Audience(sys.stdout, self._complain, self._given, streams.model, output) as audience,
            self._suspension.leaving(audience.leave),
        ):
            self._speaking = asyncio.create_task(self._speak(streams, pieces))
            try:
                async with aclosing(streams.events()) as events:
                    async for event in events:
                        audience.show(event)
                await self._speaking  # its recording may have broken off
            finally:
                self._speaking.cancel()
                await asyncio.wait([self._speaking])
            audience.write()

    async def _speak(self, streams: Succession, pieces: AsyncIterator[Samples]) -> None:
        try:
            async for piece in pieces:
                await streams.send(piece)
        finally:  # also after an interruption: what was heard until then becomes final
            await streams.stop()

    def _pieces(self, path: str) -> Generator[Samples, None, None]:
        """The samples of the recording, after none at all once it is open."""
        with open_recording(path) as recording:
            yield np.empty(0, np.float32)
            chunks = recording.chunks(TURN_SAMPLES)
            speed = self._given.speed
            if speed is None:  # a pipe has its own clock
                speed = 0 if recording.is_pipe else 1
            clock = self._suspension.clock
            yield from at_the_speed_of_speech(chunks, speed * SAMPLE_RATE, clock=clock) if speed else chunks
            if recording.warning:
                self._complain(recording.warning)

    def _interrupt(self, everything: asyncio.Task[int]) -> None:
        """The first one ends the recording: its last captions still come. A second one ends all."""
        self._interruptions += 1
        speaking = self._speaking is not None and self._speaking.cancel()
        if not speaking or self._interruptions > 1:
            everything.cancel()


def parse(arguments: Sequence[str], complain: Complain) -> argparse.Namespace:
    """What the user typed, checked without asking the daemon.

    Raises:
        SystemExit: help was asked for (0), or it makes no sense (2).
    """
    parser = _parser(complain)
    given = parser.parse_intermixed_args(arguments)
    _check_source(parser, given)
    settle_format(parser, given)
    given.live = True
    if given.mic:
        given.transcript = transcript_path(given.output, given.save, given.format)
    else:
        given.outputs = outputs(parser, given.files, given.format, given.output)
    stream_options(parser, given)
    given.choices = choices(given)
    try:
        whole(given.url)
        given.token = read_token(given.token_file)
    except CaptionsError as error:
        parser.error(str(error))
    return given


def _check_source(parser: Parser, given: argparse.Namespace) -> None:
    if given.mic:
        refuse_beside_mic(parser, given)
        return
    if given.microphone or given.save:
        parser.error("--device and --save go with --mic")
    if not given.files:
        parser.error("name a recording, - for standard input, or --mic")
    refuse_terminal(parser, given.files)


def _parser(complain: Complain) -> Parser:
    parser = Parser(
        complain,
        prog="granite-stream connect",
        usage="granite-stream connect URL FILE…|--mic [options]",
        description="Live captions of recordings or of a microphone, from a daemon: granite-stream serve.",
    )
    add = parser.add_argument
    add("url", metavar="URL", help="ws://HOST:PORT, wss://HOST:PORT or HOST:PORT")
    add("files", nargs="*", metavar="FILE", help="any audio or video file; - reads standard input")
    add("--mic", action="store_true", help="listen to the microphone: m mutes, k marks the moment, q quits")
    device = "the microphone, by number or (part of its) name: granite-stream devices"
    add("--device", dest="microphone", metavar="NAME", help=device)
    add("--save", type=Path, metavar="FILE", help="keep what the microphone hears as a WAV file (16 kHz, mono)")
    add("--token-file", metavar="FILE", type=Path, help="holds the token that the daemon wants")
    add_transcript(parser)
    add("--events", action="store_true", help="one JSON event a line")
    add_speed(parser)
    add_stream_options(parser)
    add_wishes(parser)
    add("--channel", metavar="NAME", type=channel, help="let others read along: /overlay?channel=NAME at the daemon")
    return parser
