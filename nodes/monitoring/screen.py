"""What of a run a terminal shows, and what each key changes of that; pure: keys and rows in, rows and lines out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .node_row import NodeRow

PAGES = {"n": "nodes", "f": "feed", "l": "log", "?": "help", "h": "help"}
ACTIONS = {"q": "quit", "+": "faster", "=": "faster", "-": "slower", ".": "next round", "right": "next round"}
LONGEST_FILTER = 60  # characters
URGENT = {"lost": 0, "suspect": 1}
_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1, "home": -(10**9), "g": -(10**9), "end": 10**9, "G": 10**9}

HELP = (
    ("↑ ↓ PgUp PgDn Home End", "choose a node, or scroll"),
    ("Enter", "one node: its figures, and what happened to it"),
    ("n f l", "nodes; feed: what happened, in sentences; log: every event"),
    ("s S r", "sort by the next column, by the one before; reverse"),
    ("/", "filter: nodes and lines that contain this (Enter keeps it, Esc takes it back)"),
    ("Space p", "pause what is shown; a replay stands still"),
    ("Esc", "back to all nodes"),
    ("? h", "this help"),
)
HELP_REPLAY = (("+ -", "play twice as fast, half as fast"), ("→ .", "on to the next round"))
HELP_LEAVE = (("q Ctrl-C", "leave"),)
HELP_LAUNCH = (("Ctrl-C", "stop the run, in order; twice: at once"),)


def natural(name: str) -> tuple[str, int]:
    """Return a key by which ``client-10`` comes after ``client-9``."""
    stem, _, number = name.rpartition("-")
    return (stem, int(number)) if number.isdecimal() and len(number) < 20 else (name, -1)


def placed(name: str, row: NodeRow) -> tuple[bool, tuple[str, int], bool, tuple[str, int]]:
    """Return a key by which the coordinator comes first, and the clients of a region after its aggregator."""
    within = bool(row.region) and row.role == "client"
    return (row.role != "coordinator", natural(row.region if within else name), within, natural(name))


SORTS: Mapping[str, Callable[[NodeRow], Any]] = {
    "node": lambda row: row.role != "coordinator",
    "state": lambda row: (URGENT.get(row.state, 2), row.state),
    "round": lambda row: row.round,
    "train loss": lambda row: row.loss,
    "score": lambda row: row.score,
    "sent": lambda row: row.sent,
    "received": lambda row: row.received,
    "last seen": lambda row: -row.seen,
}
"""By the name of a column, what rows are ordered by; of equal ones and the first, the name decides."""


class Screen:
    """A page, and what is sorted, filtered, chosen and scrolled there.

    Attributes
    ----------
    page
        "nodes", "node" (the chosen one), "feed", "log" or "help".
    sort, reverse, filter
        See `SORTS`; text that a row or line must contain, in upper or lower case.
    typing
        Whether keys go into the filter.
    paused
        Whether what is shown stands still.
    chosen
        The name of a node.
    """

    def __init__(self) -> None:
        self.page, self.sort, self.reverse = "nodes", "node", False
        self.filter, self.typing, self.paused = "", False, False
        self.chosen = ""
        self._before_typing = ""
        self._order: list[str] = []  # of what was drawn last
        self._room = 1
        self._top = 0
        self._last: int | None = None  # the number of the last line shown; None: of the last there is
        self._drawn_last = 0

    def key(self, key: str) -> str | None:
        """Take a key; return what it asks of whoever shows the screen ("quit", "pause", "faster", …), or None."""
        if self.typing:
            self._type(key)
            return None
        if key in (" ", "p"):
            self.paused = not self.paused
            return "pause" if self.paused else "resume"
        if key in _STEPS or key in ("pageup", "pagedown"):
            self._move(_STEPS.get(key, self._room if key == "pagedown" else -self._room))
        elif key in PAGES:
            self._turn_to("nodes" if self.page == PAGES[key] else PAGES[key])
        elif key == "enter" and self.page == "nodes" and self.chosen:
            self._turn_to("node")
        elif key == "esc":
            if self.page == "nodes":
                self.filter = ""
            self._turn_to("nodes")
        elif key == "/":
            self.typing, self._before_typing = True, self.filter
        elif key in ("s", "S"):
            names = list(SORTS)
            self.sort = names[(names.index(self.sort) + (1 if key == "s" else -1)) % len(names)]
        elif key == "r":
            self.reverse = not self.reverse
        return ACTIONS.get(key)

    def rows(self, rows: Mapping[str, NodeRow], room: int) -> list[tuple[str, NodeRow]]:
        """Return the rows to be shown where there is room for so many: with the chosen one among them."""
        place = self._order.index(self.chosen) if self.chosen in self._order else 0
        self._order, self._room = self.ordered(rows), max(1, room)
        if self.chosen not in self._order:  # gone, or filtered out: whoever is in its place
            self.chosen = self._order[min(place, len(self._order) - 1)] if self._order else ""
        place = self._order.index(self.chosen) if self.chosen else 0
        lowest = max(0, min(place, len(self._order) - self._room))
        self._top = min(max(self._top, place - self._room + 1, 0), place, max(lowest, len(self._order) - self._room))
        return [(name, rows[name]) for name in self._order[self._top : self._top + self._room]]

    def ordered(self, rows: Mapping[str, NodeRow]) -> list[str]:
        """Return the names of all nodes that pass the filter, in order; unknown figures are last either way."""
        of = SORTS[self.sort]
        names = [name for name, row in rows.items() if self.passes(f"{name} {row.role} {row.state} {row.region}")]
        names.sort(key=lambda name: placed(name, rows[name]))
        if self.sort == "node":
            return names[::-1] if self.reverse else names
        known = [name for name in names if of(rows[name]) is not None]
        unknown = [name for name in names if of(rows[name]) is None]
        return sorted(known, key=lambda name: of(rows[name]), reverse=self.reverse) + unknown

    def lines(self, lines: Sequence[str], room: int, dropped: int = 0) -> list[str]:
        """Return the lines to be shown of those that pass the filter, of which the first bears the number `dropped`.

        It follows the last one, until it is scrolled back.
        """
        self._room = max(1, room)
        end = dropped + len(lines)
        last = end if self._last is None else max(min(self._last, end), min(dropped + self._room, end))
        if last == end:
            self._last = None
        self._drawn_last = last
        return list(lines[max(0, last - dropped - self._room) : last - dropped])

    def passes(self, text: str) -> bool:
        """Return whether a line is to be shown."""
        return self.filter.casefold() in text.casefold()

    def extent(self) -> str:
        """Return which rows of how many were drawn last, in words."""
        shown = min(self._room, len(self._order) - self._top)
        if shown >= len(self._order):
            return f"{len(self._order)} nodes"
        return f"{self._top + 1} to {self._top + shown} of {len(self._order)} nodes"

    def _turn_to(self, page: str) -> None:
        self.page, self._last = page, None

    def _move(self, step: int) -> None:
        if self.page != "nodes":
            self._last = max(0, (self._drawn_last if self._last is None else self._last) + step)
        elif self._order:
            place = self._order.index(self.chosen) if self.chosen in self._order else 0
            self.chosen = self._order[max(0, min(place + step, len(self._order) - 1))]

    def _type(self, key: str) -> None:
        match key:
            case "enter":
                self.typing = False
            case "esc":
                self.typing, self.filter = False, self._before_typing
            case "backspace":
                self.filter = self.filter[:-1]
            case _ if len(key) == 1 and key.isprintable() and len(self.filter) < LONGEST_FILTER:
                self.filter += key
