"""Vosk's dialect, spoken as its sample clients do: an answer is awaited behind each piece of audio."""

import json

import pytest

from model.tasks import Wish
from streamer import Engine, Options
from streamer.dialects.vosk import Answers, Configuration
from streamer.events import Final, Partial
from streamer.server import Server
from streamer.worker import Worker
from tests.conftest import pcm
from tests.servers import dialing, hear, hear_all, running, speech, whole, words_of

CONFIG = '{ "config" : { "sample_rate" : 16000 } }'
EOF = '{"eof" : 1}'


def url(here):
    return f"ws://127.0.0.1:{here.port}/vosk"


async def answers(socket, audio, config=CONFIG, piece_bytes=8000):
    """All answers, each read before the next piece is sent."""
    await socket.send(config)
    told = []
    for at in range(0, len(audio), piece_bytes):
        await socket.send(audio[at : at + piece_bytes])
        told.append(await hear(socket))
    await socket.send(EOF)
    return [*told, await hear(socket)]


@pytest.mark.usefixtures("nothing_promised")
async def test_what_is_written_is_what_the_native_protocol_writes(nano, talk):
    audio = pcm(talk.samples[: 12 * 16_000])
    async with Worker(Engine(nano)) as worker, running(Server(), worker, "nano") as here:
        expected = await whole(here.url, audio)
        async with dialing(url(here), seconds=60) as socket:
            told = await answers(socket, audio)
    assert " ".join(answer["text"] for answer in told if answer.get("text")) == " ".join(expected.texts)
    words = [word["word"] for answer in told for word in answer.get("result", [])]
    assert words == [word["word"] for final in expected.of("final") for word in final["words"]]


async def test_each_piece_of_audio_is_answered_and_the_end_with_all_that_is_left():
    audio = speech(3.25)
    async with running() as here, dialing(url(here)) as socket:
        told = await answers(socket, audio)
        assert len(told) == 13 + 1
        assert " ".join(answer["text"] for answer in told if answer.get("text")) == " ".join(words_of(audio))
        assert all("partial" in answer or "text" in answer for answer in told)
        assert told[-1]["result"][-1]["conf"] == 1.0
        talk = await hear_all(socket)
        assert (talk.messages, talk.code) == ([], 1000)


async def test_words_can_be_left_out_and_the_rate_is_that_of_telephones():
    async with running() as here, dialing(url(here)) as socket:
        told = await answers(socket, speech(1), '{"config": {"words": false, "phrase_list": ["Ada"]}}')
        assert not any("result" in answer for answer in told)
        assert any(answer.get("text") for answer in told)
        assert here.worker.feeds[0].options.wish.keywords == ("Ada",)
        assert abs(here.worker.audio_seconds - 2) < 0.01


@pytest.mark.parametrize("first_bytes", [1, 320, 3201])
async def test_the_first_piece_may_end_anywhere(first_bytes):
    audio = speech(1)
    async with running() as here, dialing(url(here)) as socket:
        await socket.send('{"config": {"sample_rate": "16000", "words": 0}}')  # as its samples say it
        for piece in (audio[:first_bytes], audio[first_bytes:]):
            await socket.send(piece)
        await socket.send(EOF)
        talk = await hear_all(socket)
    assert [answer["text"] for answer in talk.messages if answer.get("text")] == words_of(audio)
    assert not any("result" in answer for answer in talk.messages)


async def test_large_pieces_are_answered_with_all_that_has_ended():
    audio = speech(6)
    async with running() as here, dialing(url(here)) as socket:
        told = await answers(socket, audio, piece_bytes=len(audio) // 2)
    assert " ".join(answer["text"] for answer in told if answer.get("text")) == " ".join(words_of(audio))
    assert told[1]["text"] == " ".join(words_of(audio)[:3])


async def test_a_reset_is_answered_with_what_was_said_and_the_stream_goes_on():
    first, second = speech(1.5, seed=1), speech(1, seed=2)
    async with running() as here, dialing(url(here)) as socket:
        await socket.send(CONFIG)
        await socket.send(first)
        assert "partial" in await hear(socket)
        await socket.send('{"reset" : 1}')
        assert (await hear(socket))["text"] == " ".join(words_of(first))
        await socket.send(CONFIG)  # nothing new
        await socket.send(second)
        await hear(socket)
        await socket.send(EOF)
        assert (await hear(socket))["text"] == words_of(second)[0]


async def test_audio_behind_the_end_is_left_alone():
    async with running() as here, dialing(url(here)) as socket:
        await socket.send(CONFIG)
        await socket.send(EOF)
        await socket.send(speech(1))
        talk = await hear_all(socket)
    assert (talk.messages, talk.code) == ([{"text": ""}], 1000)


async def test_an_end_without_audio():
    async with running() as here, dialing(url(here)) as socket:
        await socket.send(EOF)
        assert (await hear_all(socket)).messages == [{"text": ""}]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{", "not JSON"),
        ('{"hello": 1}', "it must be audio, a config, reset or eof"),
        ('{"config": 8000}', "config is 8000; it must be an object"),
        ('{"config": {"sample_rate": "8k"}}', 'config.sample_rate is "8k"; it must be a number'),
        ('{"config": {"sample_rate": NaN}}', "config.sample_rate is NaN; it must be a number"),
        ('{"config": {"sample_rate": 1e999}}', "config.sample_rate is Infinity; it must be a number"),
        ('{"config": {"words": []}}', "config.words is []; it must be a number"),
    ],
)
async def test_what_is_wrong_is_said(message, said):
    async with running() as here, dialing(url(here)) as socket:
        await socket.send(message)
        talk = await hear_all(socket)
        assert said in talk.messages[0]["error"]
        assert talk.code == 1008


@pytest.mark.parametrize(
    ("wish", "phrases", "taken"),
    [
        (Wish(), ["Ada", "", "[unk]", "Charles"], ("Ada", "Charles")),
        (Wish(), [f"name {number:03}" for number in range(1000)], tuple(f"name {number:03}" for number in range(50))),
        (Wish(speakers=True), ["Ada"], ()),
        (Wish(prompt="x" * 900), ["Ada"], ()),
        (Wish(keywords=["Grace"]), [], ("Grace",)),
    ],
)
def test_phrases_are_hints_of_which_as_many_are_taken_as_go(wish, phrases, taken):
    changed = Configuration(Options(wish=wish)).updated({"phrase_list": phrases})
    assert tuple(changed.options.wish.keywords) == taken


async def test_a_config_behind_audio_is_refused_and_nothing_is_kept():
    async with running() as here, dialing(url(here)) as socket:
        await socket.send(speech(1))
        await hear(socket)
        await socket.send(CONFIG)  # of another rate than what there was
        assert "before the audio" in (await hear_all(socket)).messages[-1]["error"]
        await here.emptied()


async def test_a_client_that_does_not_wait_gets_as_many_answers():
    audio = speech(2)
    async with running() as here, dialing(url(here)) as socket:
        await socket.send(CONFIG)
        for at in range(0, len(audio), 8000):
            await socket.send(audio[at : at + 8000])
        await socket.send(EOF)
        talk = await hear_all(socket)
    assert len(talk.messages) == 8 + 1
    assert " ".join(each["text"] for each in talk.messages if each.get("text")) == " ".join(words_of(audio))


def test_a_final_ends_its_partial():
    answers = Answers(words=False)
    answers.render(Partial(0, 0.0, 1.0, "so", " it"))
    answers.render(Final(0, 0.0, 1.0, "so it"))
    assert [json.loads(answers.answer()) for _ in range(2)] == [{"text": "so it"}, {"partial": ""}]


def test_a_second_config_leaves_what_it_does_not_name():
    begun = Configuration(Options()).updated({"sample_rate": 16_000, "words": False})
    assert begun.updated({}) == begun
