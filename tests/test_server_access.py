import ssl
import subprocess

import pytest
from websockets.exceptions import InvalidHandshake, InvalidStatus

from streamer.access import Access, digest
from streamer.commands.serving import parse
from streamer.server import Server
from tests.servers import dialing, get, hear_all, running, say, speech, until, words_of

TOKEN = "a-token-of-many-letters"


def guarded():
    return Server(access=Access(tokens=frozenset({digest(TOKEN)})))


async def status_of(url, **how):
    with pytest.raises(InvalidStatus) as caught:
        async with dialing(url, **how):
            pass
    return caught.value.response.status_code


async def test_a_wrong_path_is_not_found():
    async with running() as here:
        assert await status_of(here.url.replace("/v1/stream", "/v1/steam")) == 404


async def test_without_the_token_nobody_comes_in():
    async with running(guarded()) as here:
        assert await status_of(here.url) == 401
        assert await status_of(here.url, additional_headers={"Authorization": "Bearer guess-guess-guess"}) == 401
        assert await status_of(here.url, subprotocols=["granite-stream", "bearer.guess-guess-guess"]) == 401
        assert (await get(here.port, "/metrics"))[0] == 401
        assert (await get(here.port, "/metrics", Authorization=f"Bearer {TOKEN}"))[0] == 200
        for page in ("/", "/health", "/ready"):
            assert (await get(here.port, page))[0] == 200
        _, metrics = await get(here.port, "/metrics", Authorization=f"Bearer {TOKEN}")
        assert 'granite_stream_refusals_total{reason="token"} 3.0' in metrics


async def test_with_the_token_as_a_header_one_comes_in():
    header = {"Authorization": f"Bearer {TOKEN}"}
    async with running(guarded()) as here, dialing(here.url, additional_headers=header) as socket:
        await say(socket, "start")
        await say(socket, "stop")
        assert (await hear_all(socket)).code == 1000


async def test_browsers_show_the_token_as_a_subprotocol_and_it_is_not_repeated():
    offered = ["granite-stream", f"bearer.{TOKEN}"]
    async with running(guarded()) as here, dialing(here.url, subprotocols=offered) as socket:
        assert socket.subprotocol == "granite-stream"
        assert TOKEN not in str(socket.response.headers)


async def test_pages_of_other_sites_do_not_come_in_and_the_log_says_once_what_would_let_them(caplog):
    async with running() as here:
        for _ in range(2):
            assert await status_of(here.url, origin="https://elsewhere.example") == 403
        (line,) = [record.message for record in caplog.records if "may not connect" in record.message]
        assert line.endswith("--allow-origin https://elsewhere.example would let them")
        async with dialing(here.url, origin=f"http://127.0.0.1:{here.port}") as socket:
            await say(socket, "start")


async def test_an_address_has_only_so_many_connections_at_a_time():
    async with running(Server(access=Access(most_connections=1))) as here:
        async with dialing(here.url):
            await until(lambda: here.server.access._connections)
            assert await status_of(here.url) == 429
        await until(lambda: not here.server.access._connections)
        async with dialing(here.url):
            pass


async def test_tls(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *subject]
    try:
        subprocess.run([*make, "-keyout", key, "-out", certificate, "-days", "1"], check=True, capture_output=True)  # noqa: ASYNC221
    except FileNotFoundError:
        pytest.skip("no openssl here to make a certificate")
    serving = parse(["--tls-cert", str(certificate), "--tls-key", str(key)], pytest.fail)
    audio = speech(1)
    async with running(tls=serving.tls) as here:
        trusting = ssl.create_default_context(cafile=certificate)
        async with dialing(here.url.replace("ws:", "wss:"), ssl=trusting) as socket:
            await say(socket, "start")
            await socket.send(audio)
            await say(socket, "stop")
            assert (await hear_all(socket)).texts == words_of(audio)
        with pytest.raises((InvalidHandshake, OSError)):
            async with dialing(here.url):  # in plain text
                pass
