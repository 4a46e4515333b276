from argparse import Namespace

import pytest
import torch

from model import GraniteSpeech
from streamer.commands.loading import load_engine
from streamer.options import Options


@pytest.mark.parametrize(
    ("threads", "spare", "there", "taken"),
    [(3, 1, 8, [3]), (None, 1, 8, [7]), (None, 1, 1, [1]), (None, 0, 8, [])],
)
def test_a_service_leaves_a_thread_to_its_sockets(monkeypatch, threads, spare, there, taken):
    asked = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: there)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    given = Namespace(model="nano", device="cpu", dtype="auto", quantize="none", compile=False, threads=threads)
    load_engine(given, Options(), live=False, spare_threads=spare)
    assert asked == taken


def test_the_language_model_is_read_before_anybody_speaks(monkeypatch):
    read = []
    extend = GraniteSpeech.extend
    monkeypatch.setattr(GraniteSpeech, "extend", lambda *given: read.append(1) or extend(*given))
    given = Namespace(model="nano", dtype="auto", device="cpu", quantize="none", compile=False, threads=None)
    load_engine(given, Options(), live=True)
    assert read
