from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import aclosing

import pytest

from clients.background import busy, in_background, in_thread
from tests.servers import until


async def test_items_come_in_order_and_only_when_asked_for() -> None:
    made: list[int] = []

    def items() -> Generator[int, None, None]:
        for number in range(1, 6):
            made.append(number)
            yield number

    async with aclosing(in_background(items)) as found:
        assert await anext(found) == 1
        assert made == [1]
        assert [number async for number in found] == [2, 3, 4, 5]


async def test_an_error_comes_to_whoever_asked() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise ValueError("damaged")

    async with aclosing(in_background(items)) as found:
        assert await anext(found) == 1
        with pytest.raises(ValueError, match="damaged"):
            await anext(found)


async def test_whoever_leaves_early_has_it_closed_where_it_ran() -> None:
    closed, where = threading.Event(), []

    def items() -> Generator[int, None, None]:
        try:
            yield 1
            yield 2
        finally:
            where.append(threading.current_thread())
            closed.set()

    async with aclosing(in_background(items)) as found:
        await anext(found)
    assert await asyncio.to_thread(closed.wait, 10)
    assert where[0] not in (threading.main_thread(), threading.current_thread())


async def test_it_is_known_whether_something_goes_on() -> None:
    go_on = threading.Event()
    work = in_thread(go_on.wait)
    assert busy()
    go_on.set()
    assert await work
    await until(lambda: not busy())


async def test_an_item_that_never_comes_can_be_given_up() -> None:
    stuck = threading.Event()

    def items() -> Generator[int, None, None]:
        stuck.wait()
        yield 1

    async with aclosing(in_background(items)) as found:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(found), 0.05)
    stuck.set()
