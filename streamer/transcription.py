"""One run of the command: recordings in, words to the terminal, the pipe and the files. Only here does all meet."""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import FrameType

import numpy as np
import torch

from clients.formats import writer
from clients.progress import ProgressBar
from clients.terminal import EventView, PipeView, TerminalView, View
from model import AudioError, GraniteSpeech, GraniteStreamError
from model.features import SAMPLE_RATE
from streamer.engine import Engine
from streamer.events import Event, Final
from streamer.options import Options
from streamer.pace import at_the_speed_of_speech
from streamer.recordings import Recording, Samples, open_recording

READ_SAMPLES = 4 * SAMPLE_RATE  # a block of the encoder: what a file is read by
TURN_SAMPLES = SAMPLE_RATE // 10  # what live audio is read by: a final comes at most this late


class Interruption:
    """Ctrl-C, looked at between two pieces of audio: what was heard so far is still written down. A second ends all."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Interruption:
        self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _take(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class Transcription:
    """Transcribes the files one after the other with one engine."""

    def __init__(self, arguments: Namespace, complain: Callable[[str], None]) -> None:
        """Takes what `streamer.command.parse` found; `complain` tells the user one line.

        Raises:
            ValueError: an option is out of its bounds.
        """
        self._arguments, self._complain = arguments, complain
        self._options = _options(arguments)
        self._interruption = Interruption()

    def run(self) -> bool:
        """Transcribes all files; what goes wrong in one does not stop the others, but makes the answer false.

        Raises:
            KeyboardInterrupt: the user asked for it; what was heard until then is written down.
            GraniteStreamError: the model cannot be loaded, or the outputs cannot be written.
        """
        arguments = self._arguments
        if arguments.threads:
            torch.set_num_threads(arguments.threads)
        if arguments.output:
            _make_writable(arguments.output)
        all_well = True
        for path, output in zip(arguments.files, arguments.outputs, strict=True):
            try:
                with open_recording(path) as recording:
                    engine = self._engine  # loaded for the first recording that can be read
                    with self._interruption:
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
        arguments = self._arguments
        dtype = None if arguments.dtype == "auto" else getattr(torch, arguments.dtype)
        model = GraniteSpeech.load(arguments.model, dtype=dtype, device=_device(arguments.device))
        if arguments.live:
            model.transcribe(np.zeros(SAMPLE_RATE, np.float32))  # the first call is slow: not while somebody speaks
        return Engine(model)

    def _transcribe(self, recording: Recording, engine: Engine, output: Path | None) -> None:
        stream = engine.open(self._options)
        file = io.StringIO()  # written to disk when it is whole: half a transcript looks like a whole one
        views = self._views(file, engine.model.name)
        try:
            with ProgressBar(
                sys.stderr, recording.name, recording.duration_seconds, shown=not self._arguments.live
            ) as bar:
                for samples in self._pieces(recording):
                    self._show(views, stream.feed(samples), bar)
                    bar.advance(len(samples) / SAMPLE_RATE)
                    if self._interruption.requested:
                        break
                self._show(views, stream.finish(), bar)
        finally:
            if not stream.done:
                engine.close(stream)
            for view in views:
                view.close()
        if output and not self._interruption.requested:
            output.write_text(file.getvalue(), encoding="utf-8", newline="\n")

    def _pieces(self, recording: Recording) -> Iterator[Samples]:
        if not self._arguments.live:
            return recording.chunks(READ_SAMPLES)
        chunks = recording.chunks(TURN_SAMPLES)
        speed = self._arguments.speed
        if speed is None:  # a pipe has its own clock; what it brought while the model was loaded must not stay behind
            speed = 0 if recording.is_pipe else 1
        return at_the_speed_of_speech(chunks, speed * SAMPLE_RATE) if speed else chunks

    def _views(self, file: io.StringIO, model: str) -> list[View]:
        arguments = self._arguments
        views: list[View] = []
        if arguments.output:
            views.append(PipeView(file, writer(arguments.format, model)))
        form = "text" if arguments.output else arguments.format
        terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        if arguments.events:
            views.append(EventView(sys.stdout))
        elif arguments.live and form == "text" and terminal:
            views.append(TerminalView(sys.stdout))
        elif arguments.live or not arguments.output:
            views.append(PipeView(sys.stdout, writer(form, model)))
        return views

    def _show(self, views: list[View], events: list[Event], bar: ProgressBar) -> None:
        with ExitStack() as stack:
            if sys.stdout.isatty() and any(isinstance(event, Final) for event in events):
                stack.enter_context(bar.hidden())
            for event in events:
                for view in views:
                    view.show(event)


def _options(arguments: Namespace) -> Options:
    given = {
        "step_ms": arguments.step,
        "endpoint_ms": arguments.endpoint,
        "max_segment_seconds": arguments.max_segment,
        "instruction": arguments.prompt,
    }
    return Options(partials=arguments.live, **{name: value for name, value in given.items() if value is not None})


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[name]:
        raise GraniteStreamError(f"--device {name}: torch finds no such device here; leave --device out")
    return name


def _make_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise GraniteStreamError(
            f"--output {directory}: cannot be written ({error.strerror}); choose another directory"
        ) from None
