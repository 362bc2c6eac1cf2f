"""Arrays that stay with the client: FedPer (Arivazhagan et al. 2019, arXiv 1912.00818).

The client trains base and personal layers together; only the base is averaged. Here the whole vector travels, so that
layouts and aggregation stay as they are, and the personal arrays of what is sent are those that arrived: their mean is
what it was before.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..weights import Layout, Vector

PREFIX = "personal/"
"""Of the personal arrays' names in a client's state."""


def personal_names(layout: Layout, names: Sequence[str]) -> tuple[str, ...]:
    """Return the arrays of a layout that some names mean: their own, or the part before a dot.

    Raises ValueError: a name that means none, with all there are, or names that mean all: nothing would be learned
    together.
    """
    if not names:
        return ()
    found: set[str] = set()
    for name in names:
        meant = {array for array in layout.names if array == name or array.startswith(f"{name}.")}
        if not meant:
            raise ValueError(f"personal names {name!r}; the model's arrays are {', '.join(layout.names)}")
        found |= meant
    if len(found) == len(layout.names):
        raise ValueError(f"personal names all arrays of the model: {', '.join(layout.names)}; some must be shared")
    return tuple(name for name in layout.names if name in found)


def with_arrays(layout: Layout, vector: Vector, arrays: Mapping[str, NDArray[Any]]) -> Vector:
    """Return a copy of a vector with some of its arrays replaced; the vector itself where there are none."""
    if not arrays:
        return vector
    copy = vector.copy()
    views = layout.views(copy)
    for name, array in arrays.items():
        views[name][...] = array
    return copy


def arrays_of(layout: Layout, vector: Vector, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return copies of some arrays of a vector, by name."""
    if not names:
        return {}
    views = layout.views(vector)
    return {name: views[name].copy() for name in names}
