import asyncio
import contextlib
import gc
import json
import socket as sockets

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from streamer.line import KERNEL_BYTES, Line
from streamer.server import Server
from streamer.session import Farewell, Hold, Session
from streamer.sessions import Limits
from streamer.wire import Close
from tests.servers import (
    WAIT_SECONDS,
    FakeFeed,
    dialing,
    hear,
    hear_all,
    little_room,
    running,
    say,
    send_audio,
    speech,
    until,
    whole,
    words_of,
)


class Raw:
    """A client without manners: it reads only when told to, answers no ping and closes nothing by itself."""

    def __init__(self, port: int, url: str) -> None:
        self.socket = sockets.socket()
        self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.protocol = ClientProtocol(parse_uri(url))
        self.received = 0

    async def __aenter__(self):
        self.protocol.send_request(self.protocol.connect())
        await self.flush()
        while b"\r\n\r\n" not in (data := await asyncio.get_running_loop().sock_recv(self.socket, 4096)):
            pass
        self.protocol.receive_data(data)
        return self

    async def __aexit__(self, *_):
        self.socket.close()

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def send(self, message: str | bytes) -> None:
        text = isinstance(message, str)
        self.protocol.send_text(message.encode()) if text else self.protocol.send_binary(message)
        await self.flush()

    async def read_to_the_end(self) -> list[Frame]:
        with contextlib.suppress(ConnectionResetError):  # who does not answer a close frame is thrown out
            while data := await asyncio.get_running_loop().sock_recv(self.socket, 2**16):
                self.protocol.receive_data(data)
        return [event for event in self.protocol.events_received() if isinstance(event, Frame)]


async def test_a_session_too_many_is_refused_before_it_starts():
    async with running(Server(limits=Limits(most_sessions=1))) as here, dialing(here.url) as first:
        await say(first, "start")
        await hear(first)
        talk = await whole_or_refused(here.url)
        assert (talk.messages, talk.code) == ([], 1013)
        assert talk.reason == "try again later: all 1 sessions are taken"
        await say(first, "stop")
        await hear_all(first)
        await here.emptied()
        assert (await whole(here.url, b"")).code == 1000


async def test_who_leaves_and_comes_back_at_once_has_its_own_place():
    async with running(Server(limits=Limits(most_sessions=1))) as here:
        for _ in range(15):
            async with dialing(here.url) as socket:
                await say(socket, "start")
                assert (await hear(socket))["type"] == "ready"
                await socket.send(speech(0.5))


async def test_a_session_that_the_machine_cannot_carry_is_refused_before_it_starts():
    async with running() as here:
        here.worker.refuses = "this machine carries about 40 such streams"
        talk = await whole_or_refused(here.url)
        assert (talk.messages, talk.code) == ([], 1013)
        assert talk.reason == "try again later: this machine carries about 40 such streams"
        assert here.worker.feeds == []


async def test_a_session_can_be_resumed_where_a_new_one_would_be_refused():
    async with running(Server(limits=Limits(most_sessions=1))) as here:
        async with dialing(here.url) as socket:
            await say(socket, "start")
            session = (await hear(socket))["session"]
            socket.transport.abort()
        here.worker.refuses = "full"
        async with dialing(here.url) as socket:
            await say(socket, "start", resume=session)
            assert (await hear(socket))["type"] == "ready"


async def test_what_can_never_be_is_not_to_be_tried_again_later():
    async with running() as here:
        here.worker.refuses = "full"
        talk = await whole(here.url, b"", sample_rate=7999)
    assert [error["code"] for error in talk.of("error")] == ["bad_audio"]
    assert talk.code == 1008


async def whole_or_refused(url):
    async with dialing(url) as socket:
        await say(socket, "start")
        return await hear_all(socket)


async def test_a_full_queue_stops_reading_the_socket_and_nothing_is_lost(monkeypatch):
    monkeypatch.setattr("streamer.ahead.MOST_BYTES", 100_000)
    audio = speech(60)
    async with running() as here, dialing(here.url) as socket, asyncio.TaskGroup() as tasks:
        little_room(socket)
        await say(socket, "start")
        await hear(socket)
        here.worker.roomy.clear()
        sending = tasks.create_task(send_audio(socket, audio, 32_000))
        await until(lambda: socket.paused)  # what the kernel takes is taken, and no more
        heard_bytes = here.worker.feeds[0].pieces * 32_000
        assert heard_bytes < len(audio) / 2
        assert not sending.done()
        here.worker.roomy.set()
        await sending
        await say(socket, "stop")
        assert (await hear_all(socket)).texts == words_of(audio)


async def test_who_is_faster_than_the_machine_is_read_ahead_of_and_its_pings_are_answered():
    audio = speech(60)
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await hear(socket)
        here.worker.roomy.clear()
        await send_audio(socket, audio, 32_000)
        await say(socket, "stop")
        async with asyncio.timeout(5):
            await (await socket.ping())
        assert here.worker.feeds[0].pieces < 5
        here.worker.roomy.set()
        assert (await hear_all(socket)).texts == words_of(audio)


async def test_who_has_said_all_and_waits_for_the_machine_is_not_idle():
    async with running(Server(limits=Limits(idle_seconds=0.1))) as here, dialing(here.url) as socket:
        await say(socket, "start")
        await hear(socket)
        here.worker.roomy.clear()
        await send_audio(socket, speech(9), 32_000)
        await asyncio.sleep(0.3)
        assert not here.worker.feeds[0].ended
        here.worker.roomy.set()
        talk = await hear_all(socket)
        assert (talk.texts, talk.code) == (words_of(speech(9)), 1001), "and is as soon as nothing more is left of it"


async def test_who_does_not_read_is_cut_off_and_others_do_not_notice(monkeypatch):
    monkeypatch.setattr("streamer.session.SLOW_SECONDS", 0.1)
    monkeypatch.setattr("streamer.line.PART_SECONDS", 0.1)
    monkeypatch.setattr("tests.servers.checksum", lambda _: "word " * 10_000)
    async with running() as here, dialing(here.url) as good, Raw(here.port, here.url) as bad:
        await bad.send('{"type": "start"}')
        await until(lambda: here.worker.feeds)
        await say(good, "start")
        try:
            while True:
                await bad.send(speech(1))
                if here.sessions["waiting"]:
                    break
        except OSError:
            pass
        await until(lambda: here.sessions == {"connected": 1, "waiting": 1})  # it could still be resumed
        (kept,) = (entry for entry in here.server.sessions._entries.values() if not entry.session.hold)
        assert kept.session.backlog._untold_bytes < 2 * 2**20
        await send_audio(good, speech(1))
        await say(good, "stop")
        assert (await hear_all(good)).code == 1000


async def test_who_is_cut_off_for_not_reading_finds_the_reason_when_reading(monkeypatch):
    monkeypatch.setattr("streamer.session.SLOW_SECONDS", 0.1)
    monkeypatch.setattr("streamer.line.PART_SECONDS", 1.0)
    monkeypatch.setattr("streamer.backlog.MOST_EVENTS", 5)
    monkeypatch.setattr("tests.servers.checksum", lambda _: "word " * 20_000)
    async with running() as here, Raw(here.port, here.url) as bad:
        await bad.send('{"type": "start"}')
        for _ in range(30):
            await bad.send(speech(1))
        await until(lambda: here.worker.feeds)
        (entry,) = here.server.sessions._entries.values()
        hold = entry.session.hold
        async with asyncio.timeout(WAIT_SECONDS):
            farewell = await asyncio.shield(hold.farewell)
            frames = await bad.read_to_the_end()
        assert (farewell.code, farewell.error) == (1008, "slow_reader")
        *_, error, close = frames
        assert json.loads(error.data)["code"] == "slow_reader"
        assert close.opcode is Opcode.CLOSE


async def test_who_closes_its_half_with_much_unread_is_lost_like_any_other(monkeypatch, caplog):
    caplog.set_level("ERROR", "granite_stream")
    monkeypatch.setattr("tests.servers.checksum", lambda _: "word " * 20_000)
    async with running() as here, asyncio.timeout(WAIT_SECONDS), Raw(here.port, here.url) as socket:
        await socket.send('{"type": "start"}')
        await socket.send(speech(4))
        await until(lambda: here.worker.feeds and here.worker.feeds[0].segments == 4)
        (line,) = here.listener.connections
        await until(lambda: line.paused)
        socket.socket.shutdown(sockets.SHUT_WR)
        await until(lambda: line.transport.is_closing())
        await socket.read_to_the_end()
        await until(lambda: here.sessions == {"connected": 0, "waiting": 1})
        assert caplog.records == []


async def test_an_idle_client_gets_its_finals_and_is_sent_away():
    audio = speech(0.5)
    async with running(Server(limits=Limits(idle_seconds=0.1))) as here, dialing(here.url) as socket:
        await say(socket, "start")
        await socket.send(audio)
        talk = await hear_all(socket)
        assert talk.texts == words_of(audio)
        assert (talk.messages[-1]["type"], talk.code, talk.reason) == ("done", 1001, "nothing came for 0.1 s")
        await here.emptied()


async def test_a_session_lasts_no_longer_than_allowed_and_gets_its_finals():
    audio = speech(0.5)
    async with running(Server(limits=Limits(session_seconds=0.2))) as here, dialing(here.url) as socket:
        await say(socket, "start")
        await socket.send(audio)
        talk = await hear_all(socket)
        assert talk.texts == words_of(audio)
        assert (talk.messages[-1]["type"], talk.code) == ("done", 1001)


async def test_who_still_sends_when_its_time_is_over_is_read_until_it_answers():
    async with running(Server(limits=Limits(session_seconds=0.2))) as here, dialing(here.url) as socket:
        little_room(socket)
        await say(socket, "start")
        await hear(socket)
        here.worker.roomy.clear()
        with contextlib.suppress(ConnectionClosed):
            await send_audio(socket, speech(120))
        assert (await hear_all(socket)).code == 1001
        await here.emptied()  # at once: the answer was found behind all that audio


async def test_the_kernel_holds_little_of_a_connection():
    async with running() as here, dialing(here.url):
        await until(lambda: here.listener.connections)
        (line,) = here.listener.connections
        kernel = line.transport.get_extra_info("socket")
        assert kernel.getsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF) <= 2 * KERNEL_BYTES  # Linux doubles it


async def test_who_does_not_say_what_it_wants_is_sent_away(monkeypatch):
    monkeypatch.setattr("streamer.native.START_SECONDS", 0.05)
    async with running() as here, dialing(here.url) as socket:
        talk = await hear_all(socket)
        assert (talk.messages[0]["code"], talk.code) == ("bad_message", 1008)


async def test_a_connection_whose_other_end_is_silent_is_cut_and_its_session_kept():
    async with running(Server(ping_seconds=0.1)) as here, Raw(here.port, here.url) as socket:
        await socket.send('{"type": "start"}')
        await until(lambda: here.sessions["connected"] == 1)
        await until(lambda: here.sessions == {"connected": 0, "waiting": 1})  # no pong came, and nothing else


async def test_a_connection_that_only_answers_pings_is_alive():
    async with (
        running(Server(ping_seconds=0.5)) as here,
        dialing(here.url) as socket,
        Raw(here.port, here.url) as mute,
    ):
        await say(socket, "start")
        await hear(socket)
        await mute.send('{"type": "start"}')
        await until(lambda: here.sessions["waiting"] == 1)  # so the time is over for who is silent
        await say(socket, "stop")
        assert (await hear_all(socket)).code == 1000


async def test_a_client_whose_audio_is_not_read_is_not_taken_for_dead(monkeypatch):
    monkeypatch.setattr("streamer.ahead.MOST_BYTES", 100_000)
    server = Server(ping_seconds=0.5)
    audio = speech(30)
    async with running(server) as here, dialing(here.url) as socket, asyncio.TaskGroup() as tasks:
        little_room(socket)
        await say(socket, "start")
        await hear(socket)
        here.worker.roomy.clear()
        sending = tasks.create_task(send_audio(socket, audio))
        await until(lambda: socket.paused)
        async with Raw(here.port, here.url) as clock:
            await clock.send('{"type": "start"}')
            await until(lambda: here.sessions["waiting"] == 1)
        here.worker.roomy.set()
        await sending
        await say(socket, "stop")
        assert (await hear_all(socket)).texts == words_of(audio)


async def test_draining_gives_running_sessions_their_finals_and_takes_no_new_ones():
    audio = speech(1.5)
    async with running() as here, dialing(here.url) as socket, dialing(here.url) as late, dialing(here.url) as lost:
        for each in (socket, lost):
            await say(each, "start")
            await hear(each)
        lost.transport.abort()
        await until(lambda: here.sessions["waiting"] == 1)
        await send_audio(socket, audio)
        while await hear(socket) != {"type": "ack", "audio_seconds": 1.5}:
            pass
        here.server.sessions.drain()
        assert here.worker.feeds[1].dropped
        await socket.send(speech(1))  # it cannot know yet
        talk = await hear_all(socket)
        assert talk.texts[-1] == words_of(audio)[-1]
        assert (talk.messages[-1]["type"], talk.code, talk.reason) == ("done", 1012, "the service is restarting")
        await say(late, "start")
        assert (await hear_all(late)).code == 1013
        await here.emptied()


async def test_who_is_lost_while_draining_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("tests.servers.FakeFeed.end", lambda feed: None)  # one that takes its time
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await hear(socket)
        here.server.sessions.drain()
        socket.transport.abort()
        await here.emptied()
        assert here.worker.feeds[0].dropped


async def test_a_server_that_ends_closes_who_is_still_there():
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await hear(socket)
        here.listener.close(code=1012, reason="the service is restarting")
        talk = await hear_all(socket)
        assert (talk.code, talk.reason) == (1012, "the service is restarting")


async def test_a_server_ends_although_somebody_does_not_read(monkeypatch):
    monkeypatch.setattr("streamer.server.CLOSE_SECONDS", 0.1)
    monkeypatch.setattr("tests.servers.checksum", lambda _: "word " * 20_000)
    async with asyncio.timeout(WAIT_SECONDS):
        async with running() as here:
            socket = await Raw(here.port, here.url).__aenter__()
            await socket.send('{"type": "start"}')
            await socket.send(speech(4))
            await until(lambda: here.listener.connections)
            (line,) = here.listener.connections
            await until(lambda: line.paused)
        await socket.__aexit__()


async def test_nothing_is_left_of_sessions_that_are_over():
    async with running(Server(limits=Limits(resume_seconds=0.01))) as here:
        await whole(here.url, speech(1))
        await here.emptied()
        before = len(asyncio.all_tasks())
        for turn in range(20):
            async with dialing(here.url) as socket:
                await say(socket, "start")
                await hear(socket)
                await send_audio(socket, speech(1))
                socket.transport.abort() if turn % 2 else await say(socket, "finalize", id=7)
                await hear_all(socket)
        await here.emptied()
        here.worker.feeds.clear()
        await until(lambda: len(asyncio.all_tasks()) <= before)
        gc.collect()
        left = [each for each in gc.get_objects() if type(each) in (Session, Line, Hold, FakeFeed)]
        assert left == []
        assert here.server.access._connections == {}


async def test_a_farewell_that_comes_first_holds():
    async with running() as here, dialing(here.url) as socket:
        await say(socket, "start")
        await hear(socket)
        (entry,) = here.server.sessions._entries.values()
        entry.session.hold.end(Farewell(Close.GOING_AWAY, "first"))
        entry.session.hold.end(Farewell(Close.POLICY, "second"))
        talk = await hear_all(socket)
        assert (talk.code, talk.reason) == (1001, "first")


@pytest.mark.parametrize(("code", "outcome"), [(1000, "left"), (1001, "left"), (None, "lost")])
async def test_the_log_tells_who_has_left_from_who_was_lost(caplog, code, outcome):
    caplog.set_level("INFO", "granite_stream")
    async with (
        running() as here,
        dialing(f"ws://127.0.0.1:{here.port}/v1/listen?encoding=linear16") as socket,
    ):
        await until(lambda: here.sessions["connected"] == 1)
        if code:
            await socket.close(code)
        else:
            socket.transport.abort()
        await here.emptied()
    (ended,) = [record for record in caplog.records if record.message == "session ended"]
    assert ended.fields["outcome"] == outcome
