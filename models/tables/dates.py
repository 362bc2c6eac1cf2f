"""Dates in text: ISO 8601, day.month.year, and with slashes or hyphens where all values together leave one reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

_CLOCK = r"(?:[T ]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?)?"
_ZONE = r"(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?"
_ISO = re.compile(
    rf"(?P<year>\d{{4}})(?P<mark>[-/])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}}){_CLOCK} ?{_ZONE}", re.ASCII
)
_OTHER = re.compile(rf"(?P<one>\d{{1,2}})(?P<mark>[./-])(?P<two>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}){_CLOCK}", re.ASCII)

DAY_FIRST, MONTH_FIRST = "day/month/year", "month/day/year"
"""Formats of dates with slashes or hyphens, beside those of `datetime.strptime`."""

AMBIGUOUS = f"can be {DAY_FIRST} or {MONTH_FIRST}"

_FRACTION = re.compile(r"(:\d{2})[.,]\d+")


def looks_like_date(word: str) -> bool:
    """Whether a text has the form of a date, be it one or not."""
    return bool(_ISO.fullmatch(word) or _OTHER.fullmatch(word))


def parse_dates(words: Sequence[str], form: str | None = None) -> list[datetime | None]:
    """Return each text as a time; see `read_dates`."""
    return read_dates(words, form)[0]


def read_dates(words: Sequence[str], form: str | None = None) -> tuple[list[datetime | None], str]:
    """Return each text as a time without a zone (UTC where it names one), to the second, None where it is none; and
    the format without which others might read them otherwise.

    `form` is `DAY_FIRST`, `MONTH_FIRST`, or that of `datetime.strptime`; dates of ISO 8601 are taken beside it, since
    sites differ. Raises ValueError, whose message begins with a value, where the order of day and month is open.
    """
    if form is not None and form not in (DAY_FIRST, MONTH_FIRST):
        return [_by_form(word, form) or _iso(word) for word in words], form
    iso = [_iso(word) for word in words]
    if None not in iso:
        return iso, form or ""
    others = [_OTHER.fullmatch(word) for word in words]
    by_day = [one or _parts(found, day_first=True) for one, found in zip(iso, others, strict=True)]
    if form == DAY_FIRST or {found["mark"] for found in others if found} <= {"."}:  # nobody writes 1.31.2026
        return by_day, form or ""
    by_month = [one or _parts(found, day_first=False) for one, found in zip(iso, others, strict=True)]
    if form == MONTH_FIRST or by_day == by_month:
        return by_month, form or ""
    if None not in by_day and None not in by_month:
        example = next(word for word, day, month in zip(words, by_day, by_month, strict=True) if day != month)
        raise ValueError(f'"{example}" {AMBIGUOUS}')
    return (by_day, DAY_FIRST) if by_day.count(None) <= by_month.count(None) else (by_month, MONTH_FIRST)


def _iso(word: str) -> datetime | None:
    found = _ISO.fullmatch(word)
    return None if found is None else _built(found, found["year"], found["month"], found["day"], found["zone"])


def _parts(found: re.Match[str] | None, *, day_first: bool) -> datetime | None:
    if found is None:
        return None
    day, month = (found["one"], found["two"]) if day_first else (found["two"], found["one"])
    return _built(found, found["year"], month, day, None)


def _built(found: re.Match[str], year: str, month: str, day: str, zone: str | None) -> datetime | None:
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    try:
        where = datetime.strptime(f"{zone}00" if len(zone) == len("+01") else zone, "%z").tzinfo if zone else UTC
        return _plain(datetime(int(year), int(month), int(day), hour, minute, second, tzinfo=where))
    except ValueError:
        return None


def _by_form(word: str, form: str) -> datetime | None:
    if form.endswith("%S"):  # whole seconds are kept of each, and a site may write parts of them
        word = _FRACTION.sub(r"\1", word)
    try:
        return _plain(datetime.strptime(word, form))  # noqa: DTZ007 - most dates have no zone
    except ValueError:
        return None


def _plain(time: datetime) -> datetime | None:
    if time.tzinfo is not None:
        try:
            time = time.astimezone(UTC)
        except OverflowError:
            return None
    return time.replace(tzinfo=None, microsecond=0)
