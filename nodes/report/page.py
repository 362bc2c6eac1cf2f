"""Pages as trees of elements: text becomes text whatever stands in it, since only the serializer writes markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

from ..runtime.printable import printable, printable_lines
from .style import STYLE

Child: TypeAlias = "Element | str | int | None"

# Even if something on a page asked for it, a browser would load nothing, and run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def element(tag: str, *children: Child, **attributes: object) -> Element:
    """Return an element; ``class_`` becomes ``class``, ``stroke_width`` ``stroke-width``; what is None is left out."""
    made = Element(
        tag,
        {
            name.rstrip("_").replace("_", "-"): printable(value)
            for name, value in attributes.items()
            if value is not None
        },
    )
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif child is not None:
            _add_text(made, printable(child))
    return made


def lines(text: str) -> Element:
    """Return text with its lines as they are."""
    made = Element("pre")
    made.text = printable_lines(text)
    return made


def table(head: Sequence[str], rows: Iterable[Sequence[Child]], *, words: int = 1) -> Element:
    """Return a table; the first `words` columns are text, the others figures. On a narrow screen it alone scrolls."""

    def cells(tag: str, values: Sequence[Child]) -> list[Element]:
        return [element(tag, value, class_=None if at < words else "n") for at, value in enumerate(values)]

    body = [element("tr", *cells("td", row)) for row in rows]
    header = element("thead", element("tr", *cells("th", head)))
    return element("div", element("table", header, element("tbody", *body)), class_="wide")


def facts(pairs: Iterable[tuple[str, Child]]) -> Element:
    """Return names with what there is to say of each."""
    return element("dl", *(part for name, value in pairs for part in (element("dt", name), element("dd", value))))


def section(title: str, *children: Child) -> Element:
    return element("section", element("h2", title), *children)


def page(title: str, *children: Child) -> str:
    """Return a whole page: with its style, and without anything from elsewhere."""
    style = Element("style")
    style.text = STYLE
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", **{"http-equiv": "Content-Security-Policy"}, content=_POLICY),
        element("title", title),
        style,
    )
    whole = element("html", head, element("body", element("main", *children)), lang="en")
    return "<!DOCTYPE html>\n" + tostring(whole, encoding="unicode", method="html") + "\n"


def _add_text(made: Element, text: str) -> None:
    if len(made):
        made[-1].tail = (made[-1].tail or "") + text
    else:
        made.text = (made.text or "") + text
