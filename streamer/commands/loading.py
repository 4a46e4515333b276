"""From what the user typed to a network that is ready to hear."""

from __future__ import annotations

import logging
from argparse import Namespace

import numpy as np
import torch

from model import GraniteSpeech, GraniteStreamError
from model.features import SAMPLE_RATE
from streamer.engine import Engine
from streamer.options import Options

log = logging.getLogger("granite_stream")


def load_engine(arguments: Namespace, options: Options, live: bool = True, spare_threads: int = 0) -> Engine:
    """The engine that `--model`, `--device`, `--dtype`, `--quantize`, `--compile` and `--threads` name.

    Args:
        arguments: of the command.
        options: of the streams that are to come, looked at before anything is heard.
        live: somebody will be speaking, so the network is warmed up: first calls are slow.
        spare_threads: of those that torch would take, how many are left to others, unless `--threads` says.

    Raises:
        GraniteStreamError: there is no such model or device; the message says what to do.
        WishError: the model cannot do what the options ask for.
    """
    if arguments.threads or spare_threads:
        torch.set_num_threads(arguments.threads or max(1, torch.get_num_threads() - spare_threads))
    dtype = None if arguments.dtype == "auto" else getattr(torch, arguments.dtype)
    where = device_named(arguments.device)
    if arguments.compile:  # a warning, so that it is seen by all: a terminal, a pipe, the log of a daemon
        log.warning("compiling %s: this takes minutes, and less at the next start", arguments.model)
    model = GraniteSpeech.load(
        arguments.model, dtype=dtype, device=where, quantize=arguments.quantize, compile=arguments.compile
    )
    engine = Engine(model)
    engine.prompt(options)
    if live:
        model.transcribe(np.zeros(SAMPLE_RATE, np.float32), max_tokens=1)  # of silence nothing would be read otherwise
    return engine


def device_named(name: str) -> str:
    """The torch device of a name; `auto` is CUDA where there is one, and else the processor.

    Raises:
        GraniteStreamError: it is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there[name]:
        raise GraniteStreamError(f"--device {name}: torch finds no such device here; leave --device out")
    return name
