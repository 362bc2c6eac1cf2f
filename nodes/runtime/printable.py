"""Text from elsewhere as text: a terminal, a log or a page obeys nothing that stands in it."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: object) -> str:
    r"""Return text in one line, with what is no visible character as an escape, such as ``\x1b`` or ``\n``.

    Control characters move cursors, set titles and clear screens; others reorder or hide what stands beside them; a
    half of a surrogate pair cannot be written at all.

    >>> printable("\x1b]0;a title\x07")
    '\\x1b]0;a title\\x07'
    """
    line = str(text)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return the first `most` names, and how many more there are: hundreds of them are no message.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return printable(", ".join(names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


def printable_lines(text: object) -> str:
    """Return text with its lines, each as `printable` returns it."""
    return "\n".join(map(printable, str(text).split("\n")))


def html_text(text: object) -> str:
    """Return text for a page, as `printable` returns it: between tags, or within a quoted attribute."""
    from html import escape  # which no node needs

    return escape(printable(text))


def printable_json(text: str) -> str:
    """Return a line of JSON with the same value, in which those characters are JSON's own escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    data = c.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{data[i]:02x}{data[i + 1]:02x}" for i in range(0, len(data), 2))
