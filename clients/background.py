"""What blocks and cannot be called off, on a thread of its own that keeps no program alive."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
_at_work: set[threading.Thread] = set()  # that `in_thread` began


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Runs it in a daemon thread: unlike the loop's own threads, nobody waits for it at the end.

    Loading a network cannot be called off either.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def target() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # it belongs to whoever waits
            error = caught
        with suppress(RuntimeError):  # the loop has been closed meanwhile: nobody waits any more
            loop.call_soon_threadsafe(_answer, future, result, error)
        _at_work.discard(threading.current_thread())

    thread = threading.Thread(target=target, daemon=True)
    _at_work.add(thread)
    thread.start()
    return future


def busy() -> bool:
    """Whether something that `in_thread` began goes on. Deep in torch, it must not outlive the interpreter."""
    return bool(_at_work)


def end_at_once(code: int) -> NoReturn:
    """Ends the process without waiting for anything."""
    sys.stderr.flush()
    os._exit(code)


async def in_background(make: Callable[[], Generator[T, None, None]]) -> AsyncGenerator[T, None]:
    """What the generator gives, one item at a time and only when it is asked for. It is made, run and closed there.

    The thread is a daemon: a read from a silent pipe can never be called off, and must not keep the program alive.
    """
    loop = asyncio.get_running_loop()
    wishes: SimpleQueue[asyncio.Future[T | None] | None] = SimpleQueue()  # holds one at most, and the farewell
    threading.Thread(target=_fulfil, args=(make, wishes, loop), daemon=True).start()
    try:
        while True:
            wish: asyncio.Future[T | None] = loop.create_future()
            wishes.put(wish)
            if (item := await wish) is None:
                return
            yield item
    finally:
        wishes.put(None)


def _fulfil(
    make: Callable[[], Generator[T, None, None]],
    wishes: SimpleQueue[asyncio.Future[T | None] | None],
    loop: asyncio.AbstractEventLoop,
) -> None:
    items = make()
    while (wish := wishes.get()) is not None:
        item, error = None, None
        try:
            item = next(items, None)
        except Exception as caught:  # whatever it is, it belongs to whoever asked
            error = caught
        with suppress(RuntimeError):  # the loop has been closed meanwhile: nobody waits any more
            loop.call_soon_threadsafe(_answer, wish, item, error)
    items.close()


def _answer(wish: asyncio.Future[Any], item: Any, error: BaseException | None) -> None:
    if wish.done():  # it was cancelled
        return
    if error is None:
        wish.set_result(item)
    else:
        wish.set_exception(error)
