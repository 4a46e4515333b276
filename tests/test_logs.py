import io
import json
import logging

import pytest

from streamer import logs


@pytest.fixture
def out():
    """What is logged; the loggers are as before afterwards."""
    names = ("granite_stream", "websockets", "asyncio")
    before = [(logging.getLogger(name), *_state(logging.getLogger(name))) for name in names]
    yield io.StringIO()
    for logger, handlers, propagate, level in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def _state(logger):
    return logger.handlers, logger.propagate, logger.level


def tell(message, **fields):
    logging.getLogger("granite_stream").info(message, extra={"fields": fields})


def test_a_line_says_what_happened_and_its_values(out):
    logs.set_up(as_json=False, out=out)
    tell("session started", session="abc", rate=16_000, why="two words")
    assert out.getvalue().endswith(' info session started session=abc rate=16000 why="two words"\n')


def test_the_same_as_json(out):
    logs.set_up(as_json=True, out=out)
    tell("session started", session="abc", rate=16_000)
    values = json.loads(out.getvalue())
    assert values.pop("time").endswith("+00:00")
    assert values == {"level": "info", "message": "session started", "session": "abc", "rate": 16_000}


def test_what_goes_wrong_is_one_line_with_its_place(out):
    logs.set_up(as_json=False, out=out)
    try:
        raise ExceptionGroup("several", [ValueError("first\nof all"), TypeError("second")])
    except ExceptionGroup as error:
        logging.getLogger("granite_stream").error("connection failed", exc_info=error)
    (line,) = out.getvalue().splitlines()
    assert 'error="ValueError: first of all"' in line


def test_an_exception_is_described_by_type_message_and_place():
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    assert logs.described(caught.value).startswith("ZeroDivisionError: division by zero (test_logs.py:")


def test_what_a_client_sends_forges_no_line(out):
    logs.set_up(as_json=False, out=out)
    tell("connection", address="1.2.3.4\n2025 info all is well")
    assert len(out.getvalue().splitlines()) == 1


def test_websockets_never_logs_headers_or_messages(out):
    logs.set_up(as_json=False, out=out)
    logging.getLogger("websockets.server").debug("< Authorization: Bearer secret")
    logging.getLogger("websockets.server").info("connection open")
    assert out.getvalue() == ""
