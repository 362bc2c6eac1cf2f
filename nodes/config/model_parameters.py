"""Keys of [model] that are not everybody's: the parameters of the family that ``model.name`` names."""

from __future__ import annotations

import inspect
from typing import Any

from .idle_parameters import idle_parameters

PAGE = "https://scikit-learn.org/stable/modules/generated/{}.html"


def owners(parameter: str) -> list[tuple[str, str]]:
    """Return, for each built-in family that takes a parameter, its default there and where it is explained.

    Imports scikit-learn.
    """
    from nervenet.models.registry import FAMILIES
    from nervenet.models.sklearn.estimators import estimator_class

    found = []
    for name in FAMILIES.builtin:
        cls: Any = estimator_class(name, FAMILIES.builtin) if name.startswith("sklearn.") else FAMILIES[name]
        known = inspect.signature(cls).parameters
        if name != "mlp" and parameter in known:  # those of mlp are keys of every experiment
            found.append((_default(known[parameter].default), _explained(name, parameter)))
    return found


def _default(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _explained(name: str, parameter: str) -> str:
    if not name.startswith("sklearn."):
        return f"of {name}"
    if idle := idle_parameters(name, {}).get(parameter):
        return f"of {name}, where it has no effect here: {idle}"
    return f"of {name}, whose documentation explains it: {PAGE.format(name)}"
