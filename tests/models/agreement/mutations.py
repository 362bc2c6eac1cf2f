"""Questions and answers as a hostile node, or one of another version, might send them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

JUNK = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        3,
        2**63,
        1e300,
        -0.5,
        "",
        "x",
        "__class__",
        "columns",
        "object",
        "float64",
        [],
        [None],
        [-1, 2.5],
        ["x", "x"],
        [[]],
        [{}],
        {},
        {"x": 1},
        {"ask": "fit"},
        {"x": [1, {"y": []}]},
    ]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the paths to all values in a nest of maps and lists, its own excepted."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        yield (*path, key)
        yield from places(one, (*path, key))


def copied(value: Any) -> Any:
    """Return the same nest as a message brings it, of maps and lists alone."""
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    return [copied(one) for one in value] if isinstance(value, list | tuple) else value


@st.composite
def mutated(draw: Any, value: Any) -> Any:
    """Return a nest that has a value changed, left out, doubled or added, in one place or two."""
    changed = copied(value)
    for _ in range(draw(st.integers(1, 2))):
        paths = [(), *places(changed)]
        *way, last = draw(st.sampled_from(paths)) or (None,)
        inside = changed
        for key in way if last is not None else ():
            inside = inside[key]
        match draw(st.sampled_from(["change", "leave out", "double", "add"])) if last is not None else "add":
            case "change":
                inside[last] = copied(draw(JUNK))
            case "leave out":
                del inside[last]
            case "double" if isinstance(inside, list):
                inside.insert(last, inside[last])
            case _ if isinstance(inside, dict):
                inside[draw(st.sampled_from(["x", "part", "ask", "questions", "missing"]))] = copied(draw(JUNK))
    return changed
