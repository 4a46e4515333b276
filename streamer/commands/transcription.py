"""One run of the command: recordings in, words to the terminal, the pipe and the files."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from clients.arguments import Complain
from clients.outputs import make_directory
from clients.progress import ProgressBar
from clients.suspension import Suspension
from clients.views import Audience
from model.errors import AudioError
from streamer.events import Event, Final
from streamer.sound.incoming import SAMPLE_RATE, Samples
from streamer.sound.pace import as_it_comes, at_the_speed_of_speech
from streamer.sound.recordings import Recording, open_recording

if TYPE_CHECKING:
    from streamer.engine import Engine

READ_SAMPLES = 4 * SAMPLE_RATE  # a block of the encoder: what a file is read by
TURN_SAMPLES = SAMPLE_RATE // 10  # what live audio is read by: a final comes at most this late


class Interruption:
    """Ctrl-C, looked at between two pieces of audio: what was heard so far is still written down. A second ends all."""

    def __init__(self) -> None:
        self.requested = False
        self._recording: Recording

    def of(self, recording: Recording) -> Interruption:
        """Interrupts this one, also while it waits for what a silent pipe brings."""
        self._recording = recording
        return self

    def __enter__(self) -> Interruption:
        self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _take(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._recording.interrupt()


class Transcription:
    """Transcribes the files one after the other with one engine."""

    def __init__(self, arguments: Namespace, complain: Complain) -> None:
        """Takes what `streamer.command.parse` found; `complain` tells the user one line."""
        self._arguments, self._complain = arguments, complain
        self._interruption, self._suspension = Interruption(), Suspension()

    def run(self) -> bool:
        """Transcribes all files; what goes wrong in one does not stop the others, but makes the answer false.

        Raises:
            KeyboardInterrupt: the user asked for it; what was heard until then is written down.
            GraniteStreamError: the model cannot be loaded or do what is asked for, or the outputs cannot be written.
        """
        arguments = self._arguments
        if arguments.output:
            make_directory(arguments.output)
        all_well = True
        for path, output in zip(arguments.files, arguments.outputs, strict=True):
            try:
                with open_recording(path) as recording:
                    engine = self._engine  # loaded for the first recording that can be read
                    with self._interruption.of(recording):
                        self._transcribe(recording, engine, output)
                    if self._interruption.requested:
                        raise KeyboardInterrupt
                    if recording.warning:
                        self._complain(recording.warning)
            except AudioError as error:
                self._complain(str(error))
                all_well = False
        return all_well

    @cached_property
    def _engine(self) -> Engine:
        from streamer.commands.loading import load_engine  # loads torch

        return load_engine(self._arguments, self._arguments.options, live=self._arguments.live)

    def _transcribe(self, recording: Recording, engine: Engine, output: Path | None) -> None:
        stream = engine.open(self._arguments.options)
        try:
            with (
                Audience(sys.stdout, self._complain, self._arguments, engine.model.name, output) as audience,
                ProgressBar(
                    sys.stderr, recording.name, recording.duration_seconds, shown=not self._arguments.live
                ) as bar,
                self._suspension.leaving(audience.leave, bar.leave),
            ):
                for samples in self._pieces(recording):
                    self._show(audience, stream.feed(samples), bar)
                    bar.advance(len(samples) / SAMPLE_RATE)
                    if self._interruption.requested or stream.done:
                        break
                if stream.failure is None:
                    self._show(audience, stream.finish(), bar)
                if stream.failure is not None:
                    raise AudioError(f"{recording.name}: its stream broke ({stream.failure}); what was heard is kept")
                if not self._interruption.requested:
                    audience.write()
        finally:
            if not stream.done:
                engine.close(stream)

    def _pieces(self, recording: Recording) -> Iterator[Samples]:
        if not self._arguments.live:
            return recording.chunks(READ_SAMPLES)
        chunks = recording.chunks(TURN_SAMPLES)
        speed = self._arguments.speed
        if speed is None and recording.is_pipe:  # it has its own clock: somebody may just be speaking into it
            return as_it_comes(chunks, lambda: recording.more_has_come)
        speed = 1 if speed is None else speed
        clock = self._suspension.clock
        return at_the_speed_of_speech(chunks, speed * SAMPLE_RATE, clock=clock) if speed else chunks

    def _show(self, audience: Audience, events: list[Event], bar: ProgressBar) -> None:
        with ExitStack() as stack:
            if sys.stdout.isatty() and any(isinstance(event, Final) for event in events):
                stack.enter_context(bar.hidden())
            for event in events:
                audience.show(event)
