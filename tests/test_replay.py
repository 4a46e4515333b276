from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.replay import MESSAGE_BYTES, Replay

FRAME_BYTES, RATE = 4, 8_000


class Daemon:
    """Takes what a connection brings it, and can be cut off from it at any time."""

    def __init__(self) -> None:
        self.audio = b""
        self.requests: list[tuple[int, str]] = []  # frames of audio before it, and which

    def take(self, message: bytes | str) -> None:
        if isinstance(message, bytes):
            self.audio += message
        else:
            self.requests.append((len(self.audio) // FRAME_BYTES, json.loads(message).get("id", "stop")))

    @property
    def seconds(self) -> float:
        return len(self.audio) // FRAME_BYTES / RATE

    def cut_off(self) -> None:
        self.audio = self.audio[: len(self.audio) // FRAME_BYTES * FRAME_BYTES]


def drain(replay: Replay) -> list[bytes | str]:
    return list(iter(replay.next, None))


@given(st.data())
@settings(max_examples=300)
def test_wherever_connections_break_all_audio_and_every_request_arrive_in_order(data: st.DataObject) -> None:
    replay, daemon = Replay(FRAME_BYTES, RATE), Daemon()
    said, asked, flying = b"", [], []
    for step in range(data.draw(st.integers(1, 40))):
        match data.draw(st.sampled_from(["speak", "ask", "go out", "arrive", "acknowledge", "break"])):
            case "speak":
                said += (sound := bytes([step]) * data.draw(st.integers(0, 50)))
                replay.put_audio(sound)
            case "ask":
                asked.append((len(said) // FRAME_BYTES, str(step)))
                replay.put_finalize(str(step))
            case "go out" if (message := replay.next()) is not None:
                flying.append(message)
            case "arrive" if flying:
                daemon.take(flying.pop(0))
            case "acknowledge":
                replay.taken(daemon.seconds)
            case "break":
                flying.clear()
                daemon.cut_off()
                replay.rewind(daemon.seconds)
    replay.put_stop()
    for message in [*flying, *drain(replay)]:
        daemon.take(message)
    assert daemon.audio == said
    assert list(dict.fromkeys(daemon.requests)) == [*asked, (len(said) // FRAME_BYTES, "stop")]
    replay.taken(daemon.seconds)
    assert replay.waiting_seconds == pytest.approx(len(said) % FRAME_BYTES / FRAME_BYTES / RATE)


def test_what_the_server_has_is_forgotten() -> None:
    replay = Replay(FRAME_BYTES, RATE)
    for second in range(100):
        replay.put_audio(bytes(RATE * FRAME_BYTES))
        drain(replay)
        assert replay.waiting_seconds == 1
        replay.taken(second + 1)
    assert replay.waiting_seconds == 0
    replay.rewind(100)
    assert drain(replay) == []


def test_a_long_piece_goes_out_in_short_messages() -> None:
    replay = Replay(FRAME_BYTES, RATE)
    replay.put_audio(bytes(3 * MESSAGE_BYTES + 5))
    assert [len(message) for message in drain(replay)] == [MESSAGE_BYTES] * 3 + [5]


def test_an_answer_that_comes_twice_counts_once() -> None:
    replay = Replay(FRAME_BYTES, RATE)
    replay.put_finalize("a")
    assert drain(replay) == ['{"type": "finalize", "id": "a"}']
    replay.rewind(0.0)
    assert replay.answered("a")  # the answer to the first; the second need not be asked any more
    assert drain(replay) == []
    assert not replay.answered("a")
    assert not replay.answered("never asked")


def test_an_id_may_be_used_again_before_it_is_answered() -> None:
    replay = Replay(FRAME_BYTES, RATE)
    replay.put_finalize("a")
    replay.put_audio(bytes(4 * FRAME_BYTES))
    assert len(drain(replay)) == 2
    replay.taken(3 / RATE)  # and so the request before it
    replay.put_finalize("a")
    assert replay.answered("a")
    assert drain(replay) == ['{"type": "finalize", "id": "a"}']
    assert replay.answered("a")
    assert not replay.answered("a")


@pytest.mark.parametrize("audio_seconds", [-1.0, 0.5, 1e9])
def test_a_server_that_has_what_was_never_sent_is_not_believed(audio_seconds: float) -> None:
    replay = Replay(FRAME_BYTES, RATE)
    replay.put_audio(bytes(100))
    with pytest.raises(ValueError, match=r"of audio; 0\.003125 s were sent"):
        replay.taken(audio_seconds)


def test_a_server_cannot_lose_what_it_has_taken() -> None:
    replay = Replay(FRAME_BYTES, RATE)
    replay.put_audio(bytes(100))
    replay.taken(20 / RATE)
    with pytest.raises(ValueError, match="the server says"):
        replay.rewind(19 / RATE)
