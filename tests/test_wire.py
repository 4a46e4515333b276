import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.tasks import Wish
from streamer import wire
from streamer.events import Final, Partial, Word, from_dict
from streamer.fields import MOST_TEXT_CHARACTERS, WireError
from streamer.options import WISHES, Options
from streamer.wire import Finalize, Start, Stop, parse


def start(**fields):
    return parse(json.dumps({"type": "start", **fields}))


def test_everything_has_a_default():
    message = start()
    assert (message.sample_rate, message.encoding, message.channels) == (16_000, "pcm_s16le", 1)
    assert (message.options.update_ms, message.options.partials, message.words) == (600, True, True)
    assert (message.resume, message.after) == (None, 0)


def test_what_is_said_is_taken():
    message = start(sample_rate=48_000, encoding="mulaw", channels=2, step_ms=600, endpoint_ms=800, partials=False)
    assert (message.sample_rate, message.encoding, message.channels) == (48_000, "mulaw", 2)
    assert (message.options.step_ms, message.options.endpoint_ms, message.options.partials) == (600, 800, False)
    assert start(max_segment_seconds=12.5).options.max_segment_seconds == 12.5
    assert start(resume="s", after=7).after == 7


def test_fields_of_later_versions_are_left_alone():
    assert start(mood="cheerful", nested={"deep": [1]}) == start(mood=1, nested=None)


def test_what_the_model_is_to_write_is_one_wish():
    assert start(prompt=None).options.wish == Wish()
    assert start(prompt="Write.", keywords=["Łódź"]).options.wish == Wish(prompt="Write.", keywords=("Łódź",))
    asked = {"task": "translate", "language": "de", "target_language": "fr", "punctuate": False}
    assert start(**asked).options.wish == Wish(**asked)
    assert start(speakers=True).options.wish == Wish(speakers=True)


def test_the_service_s_options_hold_where_a_client_does_not_say():
    service = Options(latency="accurate", step_ms=900, endpoint_ms=700, wish=Wish(keywords=("Ewa",)))

    def options(**fields):
        return parse(json.dumps({"type": "start", **fields}), service).options

    assert options() == service
    assert options(endpoint_ms=800) == replace(service, endpoint_ms=800)
    assert options(latency="low") == replace(service, latency="low", step_ms=None), "its step goes with its latency"
    assert options(keywords=["Jan"]).wish == Wish(keywords=("Jan",))
    assert options(keywords=[]).wish == Wish()
    assert options(prompt="Write.").wish == Wish(prompt="Write.")


def test_a_client_may_do_without_the_speakers_that_the_service_asks_for():
    service = Options(wish=Wish(speakers=True, language="de"))
    assert parse('{"type": "start"}', service).options == service
    assert parse('{"type": "start", "speakers": null}', service).options == service
    assert parse('{"type": "start", "speakers": false}', service).options.wish == Wish(language="de")


def test_the_service_s_prompt_holds_where_there_is_none():
    def prompt(**fields):
        return parse(json.dumps({"type": "start", **fields}), Options(wish=Wish(prompt="Shout."))).options.wish.prompt

    assert prompt() == "Shout."
    assert prompt(keywords=["Ewa"], language="de") == "Shout."
    assert prompt(prompt="Write.") == "Write."
    assert prompt(task="transcribe") is None
    assert prompt(punctuate=True) is None


def test_the_other_messages():
    assert parse('{"type": "finalize", "id": "x"}') == Finalize("x")
    assert parse('{"type": "finalize"}') == Finalize("")
    assert parse('{"type": "stop"}') == Stop()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sample_rate": "16000"}, 'sample_rate is "16000"; it must be a whole number'),
        ({"sample_rate": True}, "sample_rate is true; it must be a whole number"),
        ({"sample_rate": 8000.5}, "sample_rate is 8000.5; it must be a whole number"),
        ({"max_segment_seconds": 10**400}, f"max_segment_seconds is {10**400}; it must lie between 5 and 30.0"),
        ({"encoding": 7}, "encoding is 7; it must be a text of at most 256 characters"),
        ({"step_ms": [300]}, "step_ms is [300]; it must be a whole number"),
        ({"latency": "lowest"}, "latency is 'lowest'; it must be one of low, balanced, accurate"),
        ({"latency": 1}, "latency is 1; it must be a text of at most 256 characters"),
        ({"step_ms": 0}, "step_ms is 0; it must lie between 1 and 10000"),
        ({"max_segment_seconds": "long"}, 'max_segment_seconds is "long"; it must be a number'),
        ({"max_segment_seconds": float("nan")}, "max_segment_seconds is NaN; it must be a number"),
        ({"partials": 1}, "partials is 1; it must be true or false"),
        ({"words": "no"}, 'words is "no"; it must be true or false'),
        ({"prompt": {}}, "prompt is {}; it must be a text"),
        ({"prompt": "\ud800"}, 'prompt is "\\ud800"; it must be a text'),
        ({"prompt": "x" * 1001}, "prompt and keywords have 1001 characters; at most 1000 fit"),
        ({"task": "sing"}, "task is 'sing'; it must be one of transcribe, translate"),
        ({"task": 1}, "task is 1; it must be a text of at most 256 characters"),
        (
            {"language": "tlh"},
            "the model does not know tlh; it knows English, French, German, Spanish, Portuguese, Japanese",
        ),
        ({"target_language": "fr"}, "a transcript is in the language that is spoken; to get French, translate"),
        ({"punctuate": "yes"}, 'punctuate is "yes"; it must be true or false'),
        ({"speakers": 1}, "speakers is 1; it must be true or false"),
        (
            {"prompt": "Write.", "task": "transcribe", "punctuate": True},
            "a prompt says all that is to be done; leave out either it or task, punctuate",
        ),
        ({"keywords": "Ewa"}, 'keywords is "Ewa"; it must be a list of at most 500 texts'),
        ({"keywords": [1]}, "keywords is [1]; it must be a list of at most 500 texts"),
        ({"after": -1}, "after is -1; it must be a whole number, 0 or more"),
        ({"after": 5}, "after is 5; it goes with resume, the session that the events are of"),
        ({"resume": 5}, "resume is 5; it must be a text of at most 256 characters"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_what_is_allowed(fields, said):
    with pytest.raises(WireError) as caught:
        start(**fields)
    assert str(caught.value) == said
    assert caught.value.code == "bad_message"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "not JSON"),
        ("[" * 50_000, "not JSON"),
        ("7" * 5000, "not JSON"),
        ("7", "the message is 7; it must be an object"),
        ('{"type": ["start"]}', 'type is ["start"]; it must be one of start, watch, finalize, stop'),
        ('{"kind": "start"}', "type is null; it must be one of"),
    ],
)
def test_what_is_no_message_is_refused(text, said):
    with pytest.raises(WireError) as caught:
        parse(text)
    assert said in str(caught.value)


def test_a_long_value_is_shown_short():
    with pytest.raises(WireError) as caught:
        start(step_ms="x" * 10_000)
    assert len(str(caught.value)) < 120


def test_a_message_that_is_too_long_is_not_even_read():
    with pytest.raises(WireError) as caught:
        parse('{"type": "stop"' + " " * MOST_TEXT_CHARACTERS + "}")
    assert caught.value.code == "too_big"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["sample_rate", "encoding", "channels", "step_ms", "partials", "words", "resume", "after", *WISHES]
)


@given(st.text() | st.dictionaries(st.just("type") | names, st.sampled_from(["start", "finalize"]) | anything))
def test_whatever_comes_is_a_message_or_a_wire_error(values):
    text = values if isinstance(values, str) else json.dumps(values)
    try:
        message = parse(text)
    except WireError as error:
        wire.error(error.code, str(error)).encode()  # can be told
    else:
        assert isinstance(message, Start | Finalize | Stop)


def test_a_resume_may_leave_the_format_out_but_not_change_it():
    first = start(sample_rate=8000)
    assert start().contradiction(first) is None
    assert start(sample_rate=8000).contradiction(first) is None
    assert start(sample_rate=16_000).contradiction(first) == "sample_rate is 16000; the session was started with 8000"


def test_events_keep_their_schema_and_get_a_seq():
    final = Final(0, 0.0, 1.0, "żółw", (Word("żółw", 0.1, 0.9, 0.5),))
    values = json.loads(wire.numbered(3, final))
    assert values.pop("seq") == 3
    assert from_dict(values) == final
    assert json.loads(wire.numbered(3, final, words=False))["words"] == []
    assert "words" not in json.loads(wire.numbered(4, Partial(0, 0.0, 1.0, "a", "b"), words=False))


def test_answers_are_json_of_plain_fields():
    assert json.loads(wire.ready("s", "nano", 8000, 0.125)) == {
        "type": "ready",
        "session": "s",
        "model": "nano",
        "sample_rate": 8000,
        "audio_seconds": 0.125,
    }
    assert json.loads(wire.ack(1 / 3)) == {"type": "ack", "audio_seconds": 1 / 3}
    assert json.loads(wire.error("c", "m")) == {"type": "error", "code": "c", "message": "m"}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_reason_fits_a_close_frame(text):
    cut = wire.reason(text)
    assert len(cut.encode()) <= 123
    assert text.startswith(cut)
