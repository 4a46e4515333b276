"""How many people can speak at once. A daemon in a process of its own, clients in this one, real sockets.

Every speaker talks for 40 s at the speed of speech (`speakers`), and all times are those of a clock on the wall:
seconds from the moment a word was spoken until its event was read by the client. Delays are defined as in `delays`.
capacity: the largest number of speakers of whom nobody was refused or lost audio, with p95 of the final delay, less the
    endpoint's silence, of at most 1 s; found by doubling and bisection to about one in sixteen.
one at a time: the same with `encode`, `extend` and the voice detector called for each stream alone.
The clients need some of the machine themselves (`clients' share`, of one core).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from model.speech import GraniteSpeech
from streamer.options import Options
from tests.benchmarks.common import Settings, quantile
from tests.benchmarks.daemon import Daemon, daemon
from tests.benchmarks.plots import picture
from tests.benchmarks.report import save, table
from tests.benchmarks.speakers import all_at_once, speeches

SPEECH_SECONDS = 40.0
MOST_DELAY_SECONDS = 1.0
HIGHEST_SECONDS = 2.5  # in the picture
FIRST, MOST = 4, 512  # speakers
WARM_UP = 2  # speakers whose figures are thrown away: the first calls are slow
ENDPOINT_SECONDS = Options().endpoint_ms / 1000

Row = dict[str, Any]


def run(settings: Settings) -> None:
    """Both ways of working, then a table and a picture."""
    model = settings.load()
    rows = {kind: asyncio.run(search(settings, model, kind)) for kind in ("batched", "single")}
    capacities = {kind: capacity(some) for kind, some in rows.items()}
    shown = [row for row in rows["batched"] if row["speakers"] in points(capacities["batched"])]
    columns = list(shown[0])
    table("latency by speakers, seconds", columns, [[row[name] for name in columns] for row in shown])
    ratio = capacities["batched"] / max(1, capacities["single"])
    table("capacity, speakers", ("batched", "one at a time", "ratio"), [[*capacities.values(), ratio]])
    save("capacity", settings, {"capacity": capacities, "ratio": ratio, "runs": rows})
    draw(rows["batched"], rows["single"])


async def search(settings: Settings, model: GraniteSpeech, kind: str) -> list[Row]:
    """Doubles until it is too much, then halves the distance; at last one speaker and half of the most."""
    rows: list[Row] = []
    async with daemon(settings, kind, "--max-sessions", str(MOST)) as there:
        await all_at_once(there.url, speeches(model, WARM_UP, SPEECH_SECONDS / 4))
        well, bad = 0, MOST + 1
        while bad - well > max(1, well // 16):
            count = min(max(FIRST, 2 * well), (well + bad) // 2)
            rows.append(await measure(there, model, count))
            well, bad = (count, bad) if rows[-1]["well"] else (well, count)
        rows += [await measure(there, model, count) for count in points(well) if count not in _counts(rows)]
    return sorted(rows, key=lambda row: row["speakers"])


async def measure(there: Daemon, model: GraniteSpeech, count: int) -> Row:
    """One run."""
    said = speeches(model, count, SPEECH_SECONDS)
    server, clients, began = there.cpu_seconds, time.process_time(), time.perf_counter()
    outcome = await all_at_once(there.url, said)
    lasted = time.perf_counter() - began
    delays = outcome.delays
    finals = [delay - ENDPOINT_SECONDS for delay in delays.final]
    spreads = {"first partial": delays.first_partial, "commit": delays.commit, "final less endpoint": finals}
    row: Row = {"speakers": count}
    row |= {f"{name} p{share}": quantile(spread, share / 100) for name, spread in spreads.items() for share in (50, 95)}
    row |= {
        "server's share": (there.cpu_seconds - server) / lasted,
        "clients' share": (time.process_time() - clients) / lasted,
        "sent late": outcome.latest_sending_seconds,
        "failures": len(outcome.failures),
    }
    row["well"] = not outcome.failures and row["final less endpoint p95"] <= MOST_DELAY_SECONDS
    print(f"{count} speakers: {row}", *outcome.failures[:1], sep="\n  ")
    return row


def capacity(rows: Sequence[Row]) -> int:
    """The most with whom all was well, up to the first with whom it was not."""
    bad = min((row["speakers"] for row in rows if not row["well"]), default=MOST + 1)
    return max((row["speakers"] for row in rows if row["speakers"] < bad), default=0)


def points(most: int) -> set[int]:
    """One, half and all."""
    return {count for count in (1, most // 2, most) if count}


def draw(batched: Sequence[Row], single: Sequence[Row]) -> None:
    """Delay over speakers."""

    curves = (
        ("final, p95", batched, "final less endpoint p95"),
        ("final, p50", batched, "final less endpoint p50"),
        ("first partial, p50", batched, "first partial p50"),
        ("commit, p50", batched, "commit p50"),
        ("final, p95, one at a time", single, "final less endpoint p95"),
    )
    with picture("capacity.svg") as (axes,):
        for label, rows, name in curves:
            axes.plot([row["speakers"] for row in rows], [row[name] for row in rows], marker="o", label=label)
        axes.axhline(MOST_DELAY_SECONDS, color="#555", linestyle="--")
        axes.set(xlabel="people who speak at once", ylabel="seconds", xlim=(0, None), ylim=(0, HIGHEST_SECONDS))
        axes.legend()


def _counts(rows: Sequence[Row]) -> set[int]:
    return {row["speakers"] for row in rows}
