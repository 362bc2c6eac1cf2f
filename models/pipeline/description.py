"""An unfitted scikit-learn pipeline as plain values, and back: the class and the parameters of every step.

Of code it names scikit-learn's transformers and NumPy's functions, and no other: nothing else is imported because a
file says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib import import_module
from inspect import Parameter, isclass, signature
from typing import Any

import numpy as np

SELECTS = ("pattern", "dtype_include", "dtype_exclude")
"""What a `make_column_selector` chooses columns by."""

_SLOW = re.compile(r"\)[*+?{]|(?:[*+?{].*){4}", re.DOTALL)
"""In a selector's pattern: repetitions by which a search may take for ever, at a site that was sent it."""

PATTERN = "a selector's pattern is a regular expression of at most 200 characters, 3 repetitions and no repeated group"

_NUMBERS = (float, int, bool)
"""Python's types, which a `dtype` may be; described as NumPy's."""

ARRAY = re.compile(r"[<>|=]?([biuf][1248]|O|U\d{1,4})")
"""Types of an array in a description: an array of long texts would take memory that nothing in it needs."""

FORM = "expected a transformer of scikit-learn's, a function of NumPy's, numbers, texts, lists or maps"


def describe_transformer(step: Any) -> dict[str, Any]:
    """Return a pipeline, or one of its steps, as plain values that JSON carries; without what it has been fitted to.

    Parameters that have the default of their class are left out: other releases of scikit-learn have others. Raises
    TypeError for what `rebuild_transformer` would not make, naming it.
    """
    cls = type(step)
    if not hasattr(step, "get_params") or cls.__module__.partition(".")[0] != "sklearn":
        raise TypeError(f"{cls.__module__}.{cls.__qualname__} is not of scikit-learn; {FORM}")
    known, values = signature(cls).parameters, step.get_params(deep=False)
    values = {
        name: np.dtype(value).type if isclass(value) and value in _NUMBERS else value for name, value in values.items()
    }
    chosen = {name: value for name, value in values.items() if not _same(value, known[name])}
    module = (
        cls.__module__.rpartition("._")[0] or cls.__module__
    )  # sklearn.preprocessing of sklearn.preprocessing._data
    parameters = {name: _plain(value, f"{cls.__name__}.{name}") for name, value in chosen.items()}
    return {"step": f"{module}.{cls.__name__}", "parameters": parameters}


def rebuild_transformer(description: Mapping[str, Any]) -> Any:
    """Return the unfitted pipeline that `describe_transformer` described. Raises ValueError for anything else."""
    made = _made(description)
    if not hasattr(made, "get_params"):
        raise ValueError(f"not the description of a transformer: {description!s:.80}")
    return made


def _same(value: object, parameter: Parameter) -> bool:
    default = parameter.default
    if isinstance(value, float) and isinstance(default, float) and math.isnan(value) and math.isnan(default):
        return True
    return type(value) is type(default) and not isinstance(value, np.ndarray) and bool(value == default)


def _plain(value: Any, what: str) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case np.bool_() | np.integer() | np.floating():
            return _plain(value.item(), what)
        case float():
            return value if math.isfinite(value) else {"number": str(value)}
        case list():
            return [_plain(item, what) for item in value]
        case tuple():
            return {"tuple": [_plain(item, what) for item in value]}
        case np.ndarray():
            return {"array": [_plain(item, what) for item in value.tolist()], "dtype": value.dtype.str}
        case dict() if all(isinstance(key, str) for key in value):
            return {"map": {key: _plain(item, what) for key, item in value.items()}}
    if _is_selector(value):
        if not _is_quick(value.pattern):
            raise TypeError(f"{what}: found {value.pattern!r:.60}; {PATTERN}")
        return {"selector": {name: _selected(getattr(value, name), what) for name in SELECTS}}
    if hasattr(value, "get_params") and not isclass(value):
        return describe_transformer(value)
    if path := _public_path(value):
        return {"named": path}
    raise TypeError(f"{what}: found {value!r:.60}; {FORM}")


def _is_selector(value: Any) -> bool:
    return type(value).__name__ == "make_column_selector" and type(value).__module__.partition(".")[0] == "sklearn"


def _is_quick(pattern: Any) -> bool:
    """Whether it is a pattern that any site can search for in the names of its columns, or None."""
    if pattern is None or not isinstance(pattern, str) or len(pattern) > 200 or _SLOW.search(pattern):
        return pattern is None
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _selected(value: Any, what: str) -> Any:
    """Return what a selector goes by; types that have no path of NumPy's by the names that pandas has for them."""
    if isinstance(value, list | tuple):
        return [_selected(item, what) for item in value]
    return value.__name__ if value in (object, str, float, int, bool) else _plain(value, what)


def _public_path(value: Any) -> str | None:
    """Return the path of a function or a type that may be named; None for any other."""
    name = str(getattr(value, "__name__", ""))
    for module, allows in NAMED.items():
        if getattr(import_module(module), name, None) is value and allows(value):
            return f"{module}.{name}"
    return None


def _calculates(value: Any) -> bool:
    """Whether it is an elementwise function, another that does nothing but calculate, or a type of number."""
    if isinstance(value, np.ufunc) or (isclass(value) and issubclass(value, np.generic)):
        return True
    return value in (np.asarray, np.clip, np.dot, np.nan_to_num, np.round, np.real)


def _scores(value: Any) -> bool:
    return getattr(value, "__name__", "") in (
        "chi2",
        "f_classif",
        "f_regression",
        "mutual_info_classif",
        "r_regression",
    )


NAMED = {"numpy": _calculates, "sklearn.feature_selection": _scores}
"""The modules of functions that a description may name, and which of theirs."""


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return [_made(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    match dict(value):
        case {"step": str(path), "parameters": Mapping() as parameters}:
            return _step(path)(**{str(name): _made(item) for name, item in parameters.items()})
        case {"named": str(path)}:
            return _named(path)
        case {"number": str(text)}:
            return float(text)
        case {"tuple": list(items)}:
            return tuple(_made(item) for item in items)
        case {"array": list(items), "dtype": str(dtype)} if ARRAY.fullmatch(dtype):
            return np.array([_made(item) for item in items], dtype)
        case {"map": Mapping() as items}:
            return {str(key): _made(item) for key, item in items.items()}
        case {"selector": Mapping() as chosen} if set(chosen) <= set(SELECTS):
            if not _is_quick(chosen.get("pattern")):
                raise ValueError(f"found {chosen['pattern']!r:.60}; {PATTERN}")
            from sklearn.compose import make_column_selector

            return make_column_selector(**{str(key): _made(item) for key, item in chosen.items()})
    raise ValueError(f"not a value of a transformer's description: {value!s:.80}")


def _step(path: str) -> Any:
    cls = _attribute(path) if path.startswith("sklearn.") else None
    if not isclass(cls) or not hasattr(cls, "transform"):
        raise ValueError(f"{path} is not a transformer of scikit-learn")
    return cls


def _named(path: str) -> Any:
    module = path.rpartition(".")[0]
    found = _attribute(path) if module in NAMED else None
    if found is None or not NAMED[module](found):
        raise ValueError(f"{path} is not a function of NumPy's that calculates, or a score of scikit-learn's")
    return found


def _attribute(path: str) -> Any:
    module, _, name = path.rpartition(".")
    words = path.split(".")
    if any(not word.isidentifier() or word.startswith("_") for word in words):
        raise ValueError(f"{path!r:.80} is not the path of a transformer of scikit-learn")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"this release has no {path}: {error}") from error
