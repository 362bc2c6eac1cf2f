"""The browsers that look: what each is still to be sent, bounded; who does not read is cut off, and counted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable

from .lag import Lag
from .teller import Teller

EVERY_S = 0.25  # news are told at most so often
BEHIND = 20  # messages that a browser may be behind, five seconds of them
MOST = 64  # browsers at once
COMMENT_S = 10.0  # after so long a silence a line that says nothing shows whether anybody is there
COMMENT = b": nothing new\n\n"


class Browser:
    """One that looks. `cut` once it is too far behind: what it has not read is forgotten."""

    def __init__(self) -> None:
        self.cut = self.ended = False
        self._waiting: deque[bytes] = deque()
        self._changed = asyncio.Event()

    def put(self, message: bytes) -> None:
        self._waiting.append(message)
        if len(self._waiting) > BEHIND:
            self.end(cut=True)
        self._changed.set()

    def end(self, *, cut: bool = False) -> None:
        """Let it be sent no more; what it has not read is forgotten where it is cut off."""
        self.cut = self.cut or cut
        self.ended = True
        if cut:
            self._waiting.clear()
        self._changed.set()

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """Yield what it is to be sent, until it ends."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self.ended:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(COMMENT_S):
                    await self._changed.wait()
            except TimeoutError:
                yield COMMENT


class Browsers:
    """Tells all of them what a `Teller` says. `clock` returns the unix seconds by which ages are reckoned."""

    def __init__(self, teller: Teller, clock: Callable[[], float]) -> None:
        self.teller = teller
        self._clock = clock
        self._all: set[Browser] = set()
        self._cut = 0
        self._lag = Lag()
        self._count()

    @property
    def looking(self) -> bool:
        """Whether anybody looks."""
        return bool(self._all)

    @property
    def full(self) -> bool:
        return len(self._all) >= MOST

    def join(self) -> Browser:
        """Return a new one, which gets the whole state first."""
        self.tell()  # so that the others have what its state has
        browser = Browser()
        self._all.add(browser)
        self._count()
        browser.put(self.teller.state(self._now()))
        return browser

    def read(self, time: float) -> None:
        """Take note of how old an event is that the teller is told of while a run goes on."""
        self._lag.read(time, self._clock())

    def leave(self, browser: Browser) -> None:
        self._all.discard(browser)
        self._count()

    def tell(self) -> None:
        """Tell everybody what is new; who is cut off by it is counted."""
        message = self.teller.news(self._now())
        if message is None:
            return
        for browser in list(self._all):
            browser.put(message)
            if browser.cut:
                self._cut += 1
                self.leave(browser)

    def state(self) -> bytes:
        return self.teller.state_json(self._now())

    def end(self) -> None:
        """Tell the last news; every stream ends behind them."""
        self.tell()
        for browser in list(self._all):
            browser.end()

    async def keep_telling(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            if self._all:
                self.tell()

    def _now(self) -> float:
        """Return what time it is in what has been read: nobody is silent whose events are still waiting."""
        now = self._clock()
        behind_s = self._lag.look(now)
        self.teller.also["behind_s"] = round(behind_s)
        return now - behind_s

    def _count(self) -> None:
        self.teller.also["browsers"] = {"now": len(self._all), "cut": self._cut}
