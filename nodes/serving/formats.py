"""Which format a body is in, and which one its answer is to have. Pure."""

from __future__ import annotations

import codecs
from email.message import Message
from functools import lru_cache

from nervenet.models.extras import how_to_install, installed

from .refusals import NotOffered, UnknownFormat

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"

FORMATS = (JSON, CSV, ARROW)

# Codecs of Python's own, for domain names and source text: no file is in one, and some take long.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})

# What programs call JSON that think nothing of it, curl -d among them.
_AS_JSON = frozenset({"", "application/x-www-form-urlencoded", "application/octet-stream", "text/plain", "text/json"})


def formats() -> tuple[str, ...]:
    """Return the formats that are read and written here: Arrow where pyarrow is installed."""
    return FORMATS if installed("pyarrow") else (JSON, CSV)


@lru_cache(maxsize=64)
def sent_as(content_type: str, encoding: str = "") -> str:
    """Return the format of a body by the headers Content-Type and Content-Encoding. Raises `UnknownFormat`."""
    if encoding.strip().lower() not in ("", "identity"):
        raise UnknownFormat(f"the header Content-Encoding is {encoding[:60]!r}; expected a body that is not packed")
    media = content_type.partition(";")[0].strip().lower()
    if media in _AS_JSON or media == JSON or (media.startswith("application/") and media.endswith("+json")):
        return JSON
    if media == ARROW and not installed("pyarrow"):
        raise UnknownFormat(f"the header Content-Type is {ARROW}; {how_to_install('pyarrow')}")
    if media in FORMATS:
        return media
    raise UnknownFormat(f"the header Content-Type is {media[:60]!r}; expected {_or(formats())}")


@lru_cache(maxsize=64)
def charset_of(content_type: str) -> str:
    """Return the name that Python has for the charset of a text, by the header Content-Type: utf-8 without one.

    Raises `UnknownFormat` for one that Python does not know.
    """
    header = Message()
    header["Content-Type"] = content_type
    named = str(header.get_param("charset", "utf-8"))
    try:
        found = codecs.lookup(named).name
        "".encode(found)  # which is refused where it makes bytes of bytes
    except (LookupError, ValueError):
        found = ""
    if not found or found in _NO_CHARSETS:
        raise UnknownFormat(f"the charset of the body is {named[:60]!r}; expected utf-8, latin-1 or the like")
    return found


@lru_cache(maxsize=64)
def asked_for(accept: str) -> str:
    """Return the format of the answer by the header Accept (RFC 9110, 12.5.1); JSON without one.

    Raises `NotOffered` where it admits none of them.
    """
    if not accept.strip():
        return JSON
    wanted = [_range(part) for part in accept.split(",") if part.strip()]
    best, most = "", 0.0
    for media in formats():
        # The most specific range that covers a format says how much it is liked.
        covering = [(how, quality) for pattern, quality in wanted if (how := _covers(pattern, media))]
        quality = max(covering)[1] if covering else 0.0
        if quality > most:
            best, most = media, quality
    if not best:
        hint = f"; {how_to_install('pyarrow')}" if ARROW in accept and not installed("pyarrow") else ""
        raise NotOffered(f"the header Accept is {accept[:120]!r}; expected {_or(formats())}{hint}")
    return best


def _range(part: str) -> tuple[str, float]:
    media, *parameters = part.split(";")
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = min(1.0, max(0.0, float(value)))
            except ValueError:
                quality = 0.0
    return media.strip().lower(), quality


def _covers(pattern: str, media: str) -> int:
    """Return how specific a range of media types is that covers one, 0 where it does not."""
    if pattern == media:
        return 3
    kind, _, rest = pattern.partition("/")
    if rest != "*":
        return 0
    return 2 if kind == media.partition("/")[0] else int(kind == "*")


def _or(names: tuple[str, ...]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"
