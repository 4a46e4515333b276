"""Who reads along with whom: what a speaker says on a channel, handed to its watchers. Knows no socket and no session.

A channel is a name that a speaker has given; without one, nobody can read along. Nothing of a watcher reaches the
speaker: each has a queue of its own, and one that is full ends its watcher only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from streamer.events import Done, Error, Event, Final, Partial, SpeechStarted
from streamer.wire import unnumbered

MOST_WATCHERS = 1000  # of all channels; each may have a full queue
MOST_UNREAD = 1000  # events of a watcher
MOST_UNREAD_BYTES = 2**20


class Watcher:
    """The events that one watcher has not read yet."""

    def __init__(self) -> None:
        self.news = asyncio.Event()  # there may be something to read
        self.behind = asyncio.Event()  # so much is unread that it is given up
        self._unread: deque[tuple[Event, str]] = deque()
        self._unread_bytes = 0

    def take(self, event: Event, text: str) -> None:
        """Adds an event. A partial that is unread is replaced by the next one; nothing else is ever left out."""
        if self.behind.is_set():
            return
        if isinstance(event, Partial | Final) and self._unread and isinstance(self._unread[-1][0], Partial):
            self._unread_bytes -= len(self._unread.pop()[1].encode())
        self._unread.append((event, text))
        self._unread_bytes += len(text.encode())
        if len(self._unread) > MOST_UNREAD or self._unread_bytes > MOST_UNREAD_BYTES:
            self.behind.set()
            self._unread.clear()
        self.news.set()

    def next(self) -> str | None:
        """The event to read next, taken from the queue; None: all are read."""
        if not self._unread:
            return None
        _, text = self._unread.popleft()
        self._unread_bytes -= len(text.encode())
        return text


@dataclass(slots=True)
class Channel:
    """One name."""

    name: str
    speakers: list[Speaker] = field(default_factory=list)  # the last one has it
    watchers: set[Watcher] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Speaker:
    """One session's place on a channel."""

    channel: Channel
    words: bool  # whether finals carry their words
    open: Partial | None = None  # what stands of the segment that is being spoken
    told: Partial | None = None  # what stood of it when it was broken off: watchers have its committed text

    def say(self, events: Iterable[Event]) -> None:
        """Hands events on, if this speaker has the channel."""
        for event in events:
            if isinstance(event, Error):
                self.break_off()
            if not isinstance(event, SpeechStarted | Partial | Final | Done):
                continue  # an answer to the speaker, or its own trouble
            self.open = event if isinstance(event, Partial) else None
            if self._is_read:
                event = self.untold(event)
                text = unnumbered(event, self.words)
                for watcher in self.channel.watchers:
                    watcher.take(event, text)

    def break_off(self) -> None:
        """Its open segment will have no final of its own: watchers get what is committed of it, and no draft stays."""
        if part := self.open:
            self.say([part.broken_off()])
            if self._is_read:
                self.told = part

    def untold(self, event: Event) -> Event:
        """The event without what watchers have: the channel came back in the midst of a segment that was broken off."""
        if (told := self.told) is None or not isinstance(event, Partial | Final) or event.segment != told.segment:
            return event
        rest = slice(len(told.committed), None)  # what is committed begins all that follows
        start = min(told.end, event.end)  # a segment that is cut may end before what was heard of it
        if isinstance(event, Partial):
            return replace(event, start=start, committed=event.committed[rest].lstrip())
        words = tuple(word for word, end in event.words_to() if end > len(told.committed))
        return replace(event, start=start, text=event.text[rest].lstrip(), words=words)

    @property
    def _is_read(self) -> bool:
        """Whether this speaker has the channel, and somebody reads it."""
        return self.channel.speakers[-1] is self and bool(self.channel.watchers)


class Channels:
    """The channels that have a speaker or a watcher."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    @property
    def watchers(self) -> int:
        """Of all channels."""
        return sum(len(channel.watchers) for channel in self._channels.values())

    def speak(self, name: str, words: bool) -> Speaker:
        """A place for a session, which has the channel until a newer one comes, and again when that one has left."""
        channel = self._channels.setdefault(name, Channel(name))
        if channel.speakers:
            channel.speakers[-1].break_off()
        channel.speakers.append(Speaker(channel, words))
        return channel.speakers[-1]

    def fall_silent(self, speaker: Speaker) -> None:
        """Its session is over."""
        speaker.break_off()
        speaker.channel.speakers.remove(speaker)
        self._forget_if_empty(speaker.channel)

    def watch(self, name: str) -> Watcher:
        """A watcher, who first gets what stands of the open segment, if there is one."""
        channel = self._channels.setdefault(name, Channel(name))
        watcher = Watcher()
        channel.watchers.add(watcher)
        if channel.speakers and (partial := channel.speakers[-1].open):
            rest = channel.speakers[-1].untold(partial)
            watcher.take(rest, unnumbered(rest))
        return watcher

    def leave(self, name: str, watcher: Watcher) -> None:
        """It reads no more."""
        channel = self._channels[name]
        channel.watchers.remove(watcher)
        self._forget_if_empty(channel)

    def _forget_if_empty(self, channel: Channel) -> None:
        if not (channel.speakers or channel.watchers):
            del self._channels[channel.name]  # or every name that was ever said would be remembered
