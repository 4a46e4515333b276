import pytest

from streamer.commands.serving import parse

TOKEN = "a-token-of-many-letters"


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}\n")
    return str(path)


def refused(arguments: list[str]) -> str:
    """The one line that says why."""
    said: list[str] = []
    with pytest.raises(SystemExit) as leaving:
        parse(arguments, said.append)
    assert leaving.value.code == 2
    (line,) = said
    return line


def test_by_itself_it_listens_to_this_machine_only():
    serving = parse([], pytest.fail)
    assert (serving.host, serving.port, serving.tls) == ("127.0.0.1", 8765, None)
    assert serving.limits.resume_seconds == 30
    assert serving.access.tokens == frozenset()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "my-laptop", ""])
def test_beyond_this_machine_a_token_is_needed_or_the_word_insecure(host, tokens):
    assert "--token-file FILE, or --insecure" in refused(["--host", host])
    assert parse(["--host", host, "--insecure"], pytest.fail).host == host
    assert len(parse(["--host", host, "--token-file", tokens], pytest.fail).access.tokens) == 1


@pytest.mark.parametrize(
    ("typed", "said_by_browsers"),
    [
        ("http://localhost:3000/", "http://localhost:3000"),
        ("https://Example.com", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://example.com:443", "http://example.com:443"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", "null"),
        ("file://", "file://"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://localhost:03000", "http://localhost:3000"),
    ],
)
def test_an_origin_may_be_copied_from_an_address_bar(typed, said_by_browsers):
    assert parse(["--allow-origin", typed], pytest.fail).access.origins == {said_by_browsers}


def test_strangers_have_a_limit_of_their_own_unless_told_otherwise():
    assert parse([], pytest.fail).access.most_connections == 0
    assert parse(["--host", "0.0.0.0", "--insecure"], pytest.fail).access.most_connections == 16
    assert (
        parse(["--host", "0.0.0.0", "--insecure", "--max-per-address", "0"], pytest.fail).access.most_connections == 0
    )


def test_limits_are_taken():
    given = "--max-sessions 3 --resume-seconds 5 --idle-seconds 6 --max-session-seconds 7 --drain-seconds 8 --prompt P"
    serving = parse(given.split(), pytest.fail)
    limits = serving.limits
    assert (limits.most_sessions, limits.resume_seconds, limits.idle_seconds) == (3, 5, 6)
    assert (limits.session_seconds, limits.options.wish.prompt, serving.drain_seconds) == (7, "P", 8)


def test_what_sessions_are_unless_their_clients_say_is_taken():
    options = parse(["--step", "600", "--latency", "low", "--keywords", "Ewa,Jan"], pytest.fail).limits.options
    assert (options.update_ms, options.latency, options.wish.keywords) == (600, "low", ("Ewa", "Jan"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "99999 is out of bounds"),
        (["--port", "http"], "'http' is not a whole number"),
        (["--max-sessions", "0"], "the least is 1"),
        (["--idle-seconds", "-1"], "the least is 0"),
        (["--resume-seconds", "inf"], "out of bounds"),
        (["--idle-seconds", "nan"], "out of bounds"),
        (["--token-file", "/nowhere/tokens"], "--token-file /nowhere/tokens: No such file"),
        (["--tls-cert", "/nowhere/cert.pem"], "--tls-cert /nowhere/cert.pem: no certificate"),
        (
            ["--allow-origin", "localhost:3000"],
            "localhost:3000 is not an origin: https://HOST, http://HOST:PORT, or null",
        ),
        (["--allow-origin", "*"], "* is not an origin"),
        (["--allow-origin", "https://a.example:99999"], "https://a.example:99999 is not an origin"),
        (["--allow-origin", "https://a.example/page"], "https://a.example/page is not an origin"),
        (["--tls-key", "key.pem"], "--tls-key goes with --tls-cert"),
        (["--prompt", "x" * 2000], "prompt and keywords have 2000 characters"),
        (["--step", "20000"], "--step: 20000 is out of bounds; the least is 1, the most 10000"),
        (["--task", "translate"], "translating needs a target language"),
        (["talk.wav"], "unrecognized arguments: talk.wav"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, said):
    assert said in refused(arguments)
