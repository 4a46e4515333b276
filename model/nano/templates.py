"""Sentences made from templates: numbers in words, dates, times, spelled letters, names and short commands.

Each template takes a random generator and gives a pair: what is written, and what the engine is told to say.
"""

from __future__ import annotations

import random
from collections.abc import Callable

Pair = tuple[str, str]


def _words(text: str) -> list[str]:
    return text.split()


def _phrases(text: str) -> list[str]:
    return text.split("|")


ONES = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
TENS = _words("_ _ twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
            "twelve": "twelfth"}  # fmt: skip
MONTHS = _words("january february march april may june july august september october november december")
DAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
UNITS = _words(
    "dollars euros pounds miles metres kilometres percent degrees minutes hours days weeks months years people "
    "pages grams litres inches feet gallons seconds points cups pieces euro cents"
)
FIRST_NAMES = _words(
    "james mary john linda robert susan michael karen david lisa william nancy richard sarah joseph emma thomas olivia "
    "charles sophia daniel grace matthew alice anthony julia mark helen paul rachel steven laura andrew anna kevin "
    "brian george maria peter jane henry kate carlos elena ahmed fatima wei mei hiroshi yuki ivan olga lars ingrid "
    "pierre claire hans greta marco lucia raj priya omar layla noah ava liam mia ethan zoe lucas chloe oscar ruby"
)
SURNAMES = _words(
    "smith johnson williams brown jones miller davis wilson anderson taylor moore jackson martin lee thompson white "
    "harris clark lewis robinson walker young allen king wright scott hill green adams baker nelson carter mitchell "
    "turner parker evans edwards collins stewart morris murphy cook rogers morgan cooper peterson reed bailey bell "
    "kelly howard ward cox richardson wood watson brooks bennett gray hughes price myers long foster sanders ross "
    "garcia martinez rodriguez lopez gonzalez chen wang patel singh khan kim nguyen tanaka suzuki ivanov novak"
)
CITIES = _words(
    "london paris berlin madrid rome tokyo beijing sydney cairo moscow dublin boston chicago dallas denver seattle "
    "toronto vancouver mumbai delhi singapore oslo vienna prague lisbon athens texas florida california alaska france "
    "germany spain italy england scotland ireland canada mexico brazil china japan india russia egypt kenya africa "
    "europe asia america australia new_york los_angeles san_francisco hong_kong new_zealand south_africa"
)
COMMANDS = _phrases(
    "turn {on} the {thing}|switch {on} the {thing} in the {room}|play some music|stop|pause|go back|next|previous|"
    "volume up|volume down|set a timer for {n} minutes|wake me up at {n}|call {name}|send a message to {name}|"
    "open the {thing}|close the {thing}|what time is it|what is the weather in {city}|how far is it to {city}|"
    "remind me to call {name}|yes|no|yes please|no thank you|okay|maybe|thank you|thanks|good morning|good night|"
    "hello|goodbye|see you later|how are you|i don't know|that's right|i'm not sure|excuse me|i'm sorry|of course|"
    "please repeat that|one moment please|can you hear me|let's go|wait a minute|not yet|right now|me too|"
    "start|cancel|help|repeat|continue|louder|left|right|up|down|forward|back|house|tree|bird|dog|cat|happy|wow|"
    "a large cup of coffee|an espresso with milk|two cups of tea with sugar|dim the lights in the {room}|"
    "a medium latte with {n} sugars|make it warmer in the {room}|it's {n} o'clock|i'll be there in {n} minutes"
)
SLOTS = {
    "on": _words("on off"),
    "thing": _words("light lights lamp radio television heater fan door window oven computer phone camera garage"),
    "room": _words("kitchen bedroom bathroom hall office garden basement living_room dining_room"),
}
FRAMES = _phrases(
    "my name is {name}|this is {name}|i am {name} from {city}|have you seen {name}|{name} lives in {city}|{name}|"
    "ask {name} about it|we met {name} in {city}|{name} and {name}|the train to {city} leaves at {n}|{city}|"
    "{name} was born in {city}|please call {name} tomorrow|mister {name}|missus {name}|doctor {name} is in {city}"
)
CARRIERS = _phrases(
    "{}|{}|{}|the number is {}|it costs {}|about {}|call me at {}|there were {}|more than {}|she is {}|room {}|"
    "the answer is {}|chapter {}|he counted to {}|i need {}|it was {}|flight {}|page {}|on {}"
)


def cardinal(n: int) -> str:
    """A whole number below a million in words."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (f" {ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{ONES[n // 100]} hundred" + (f" and {cardinal(n % 100)}" if n % 100 else "")
    return f"{cardinal(n // 1000)} thousand" + (f" {cardinal(n % 1000)}" if n % 1000 else "")


def ordinal(n: int) -> str:
    """`twenty first` and the like."""
    *head, last = cardinal(n).split()
    ending = ORDINALS.get(last, last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return " ".join([*head, ending])


def year(n: int) -> str:
    """A year as people say it: `nineteen eighty four`, `two thousand and six`."""
    if 2000 <= n < 2010:
        return "two thousand" + (f" and {ONES[n - 2000]}" if n > 2000 else "")
    tail = n % 100
    return f"{cardinal(n // 100)} " + ("hundred" if tail == 0 else f"oh {ONES[tail]}" if tail < 10 else cardinal(tail))


def _name(rng: random.Random) -> str:
    return rng.choice(
        [
            rng.choice(FIRST_NAMES),
            rng.choice(SURNAMES),
            f"{rng.choice(FIRST_NAMES)} {rng.choice(SURNAMES)}",
        ]
    )


def _fill(rng: random.Random, frame: str) -> str:
    for slot, values in SLOTS.items():
        frame = frame.replace(f"{{{slot}}}", rng.choice(values).replace("_", " "))
    frame = frame.replace("{n}", cardinal(rng.randint(1, 59)))
    frame = frame.replace("{city}", rng.choice(CITIES).replace("_", " "))
    while "{name}" in frame:
        frame = frame.replace("{name}", _name(rng), 1)
    return frame


def number(rng: random.Random) -> Pair:
    """A number, bare or within a few words."""
    kind = rng.random()
    if kind < 0.35:
        value = " ".join(rng.choice(ONES[:10]) for _ in range(rng.randint(1, 7)))
    elif kind < 0.5:
        value = (
            f"{cardinal(rng.randint(0, 99))} point {' '.join(rng.choice(ONES[:10]) for _ in range(rng.randint(1, 3)))}"
        )
    elif kind < 0.6:
        value = ordinal(rng.randint(1, 60))
    elif kind < 0.75:
        value = year(rng.randint(1500, 2060))
    else:
        value = cardinal(int(10 ** rng.uniform(0, 5.9)))
        value += f" {rng.choice(UNITS)}" if rng.random() < 0.5 else ""
    text = rng.choice(CARRIERS).format(value)
    return text, text


def date_or_time(rng: random.Random) -> Pair:
    """A date or a time of day."""
    hour, day, month = ONES[rng.randint(1, 12)], rng.randint(1, 31), rng.choice(MONTHS)
    text = rng.choice(
        [
            f"{month} {ordinal(day)}",
            f"the {ordinal(day)} of {month}",
            f"{month} {ordinal(day)} {year(rng.randint(1800, 2040))}",
            f"on {rng.choice(DAYS)} the {ordinal(day)} of {month}",
            f"half past {hour}",
            f"quarter to {hour}",
            f"{cardinal(rng.randint(2, 29))} minutes past {hour}",
            f"{hour} {cardinal(rng.randint(10, 59))}",
            f"at {hour} o'clock",
            f"next {rng.choice(DAYS)} at {hour}",
            f"see you on {rng.choice(DAYS)}",
            f"from {rng.choice(DAYS)} to {rng.choice(DAYS)}",
        ]
    )
    return text, text


def letters(rng: random.Random) -> Pair:
    """Spelled letters; capitals and commas make every engine say their names."""
    spelled = [rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 6))]
    before = rng.choice(["", "", "spell ", "the letters ", "it is spelled "])
    return before + " ".join(spelled), before + ", ".join(spelled).upper()


def names(rng: random.Random) -> Pair:
    """People and places."""
    text = _fill(rng, rng.choice(FRAMES))
    return text, text


def command(rng: random.Random) -> Pair:
    """Short words and orders."""
    text = _fill(rng, rng.choice(COMMANDS))
    return text, text


TEMPLATES: tuple[tuple[Callable[[random.Random], Pair], float], ...] = (
    (number, 3.0),
    (date_or_time, 1.5),
    (letters, 0.7),
    (names, 2.0),
    (command, 2.5),
)
