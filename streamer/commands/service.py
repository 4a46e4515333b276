"""`granite-stream serve`: loads the network, opens the port, and ends well. Here the service meets the system."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import Server as Listener

from clients.arguments import DONE, FAILED, Complain, exit_code
from clients.background import end_at_once, in_thread
from clients.signals import heeded
from model.errors import GraniteStreamError
from streamer import logs
from streamer.commands.serving import Serving, parse
from streamer.dialects.wyoming import listening
from streamer.server import Server

if TYPE_CHECKING:
    from streamer.engine import Engine
    from streamer.worker import Worker

log = logging.getLogger("granite_stream")

ONE_WISH_SECONDS = 0.5  # in which a second signal is the first one, told twice: `timeout` signals the group, too
LAST_WORDS_SECONDS = 2.0  # for errors to reach the clients when the network has died


def main(arguments: Sequence[str], complain: Complain) -> int:
    """Runs the service until a signal ends it; gives the exit code."""
    serving = parse(arguments, complain)
    logs.set_up(serving.log_json)
    return asyncio.run(run(serving, lambda: _load(serving), complain))


async def run(serving: Serving, load_engine: Callable[[], Engine], complain: Complain) -> int:
    """The whole life: listening, loading, ready, draining. The port answers from the beginning."""
    server, stop = Server(serving.access, serving.limits), _stop_signal()
    async with contextlib.AsyncExitStack() as stack:
        ports: dict[str, tuple[int, contextlib.AbstractAsyncContextManager[Listener | asyncio.Server]]]
        ports = {"--port": (serving.port, server.listening(serving.host, serving.port, serving.tls))}
        if serving.wyoming_port is not None:
            parts = server.sessions, server.access
            ports["--wyoming-port"] = serving.wyoming_port, listening(serving.host, serving.wyoming_port, *parts)
        for option, (number, port) in ports.items():
            try:
                _log_addresses(await stack.enter_async_context(port), serving, option)
            except (OSError, UnicodeError) as error:  # taken, forbidden, not of this machine; no name of a host
                reason = getattr(error, "strerror", None) or error
                complain(f"{serving.host}:{number}: {reason}; choose another --host or {option}")
                return FAILED
        loaded = in_thread(load_engine)
        await _first(loaded, stop)
        if not loaded.done():
            end_at_once(DONE)  # the thread is deep in torch
        try:
            engine = loaded.result()
        except GraniteStreamError as error:
            complain(str(error))
            return exit_code(error)
        return await _serve(server, engine, stop, serving.drain_seconds)


async def _serve(server: Server, engine: Engine, stop: asyncio.Future[float], drain_seconds: float) -> int:
    from streamer.calibration import share_of_a_speaker
    from streamer.worker import Worker

    share = await asyncio.to_thread(share_of_a_speaker, engine.model)
    if stop.done():
        return DONE
    async with Worker(engine, share_of_a_speaker=share) as worker:
        _open(server, worker, engine)
        notify("READY=1")
        log.info("ready", extra={"fields": {"model": engine.model.name}})
        await _first(worker.lost, stop)
        notify("STOPPING=1")
        if not worker.lost.done():
            await _drain(server, drain_seconds)
        if not worker.lost.done():
            return DONE
        server.health.broken = True
        log.error("the network has died", exc_info=worker.lost.result())
        await _drain(server, LAST_WORDS_SECONDS)
        return FAILED


def _open(server: Server, worker: Worker, engine: Engine) -> None:
    model = engine.model
    server.metrics.watch(worker)
    server.sessions.begin(worker, model.name, model.config.languages)


async def _drain(server: Server, seconds: float) -> None:
    """No new sessions; those there are get their finals, as long as it lasts."""
    server.sessions.drain()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await server.sessions.empty.wait()
    log.info("drained", extra={"fields": {"cut_off": sum(server.sessions.counts().values())}})


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _stop_signal() -> asyncio.Future[float]:
    """Done at the first SIGTERM, SIGINT or SIGHUP, with its time. A later one ends the process, whatever it does."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[float] = loop.create_future()

    def take() -> None:
        if not stop.done():
            log.info("stopping; a second signal ends at once")
            stop.set_result(loop.time())
        elif loop.time() >= stop.result() + ONE_WISH_SECONDS:
            # not an exception: the network's thread may be deep in a computation that nothing interrupts
            log.warning("ended at once by a second signal")
            os._exit(FAILED)

    for name in (signal.SIGTERM, signal.SIGINT, *heeded(signal.SIGHUP)):
        loop.add_signal_handler(name, take)
    return stop


def _load(serving: Serving) -> Engine:
    from streamer.commands.loading import load_engine  # loads torch

    return load_engine(serving.model, serving.limits.options, spare_threads=1)  # sockets need one


def notify(state: str) -> None:
    """Tells systemd, if it asked to be told."""
    if not (path := os.environ.get("NOTIFY_SOCKET")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        try:
            told.sendto(state.encode(), f"\0{path[1:]}" if path.startswith("@") else path)
        except OSError as error:  # nothing that a speaker should suffer from
            log.warning("systemd was not told", exc_info=error)


def _log_addresses(listener: Listener | asyncio.Server, serving: Serving, option: str) -> None:
    for each in listener.sockets:
        host, port = each.getsockname()[:2]
        protection = {"tls": bool(serving.tls), "tokens": len(serving.access.tokens)}
        about = protection if option == "--port" else {"protocol": "wyoming"}  # which knows neither
        log.info("listening", extra={"fields": {"host": host, "port": port, **about}})
