"""From the words of a user to a checked object: dotted keys, their types, and errors that help.

Knows nothing of learning: any tree of frozen dataclasses can be filled by :func:`convert`.
"""

import dataclasses
import difflib
import math
import re
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_UNDER_ROOT = "the top level"
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


class ExperimentError(ValueError):
    """A configuration that cannot be run: one or two lines that name the key, what was found and what is allowed."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of an experiment file, or of the ``experiment.toml`` in a run folder."""
    file = path / "experiment.toml" if path.is_dir() else path
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ExperimentError(f"{file}: there is no such experiment file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{file}: cannot be read as an experiment file: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError(f"{file}: is not TOML: {error}") from None


def parse_set(text: str) -> tuple[str, object]:
    """Split ``a.b=value``; the value is TOML where it reads as TOML (numbers, lists, true), and plain text otherwise.

    Examples
    --------
    >>> parse_set("model.hidden=[32, 16]"), parse_set("gossip.topology=star")
    (('model.hidden', [32, 16]), ('gossip.topology', 'star'))
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key or not all(key.split(".")):
        raise ExperimentError(f"--set {text}: expected KEY=VALUE with a dotted key, as in --set training.epochs=3")
    try:
        table = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key, value
    # A value with a line break could smuggle in a second key; it is text then.
    return key, table["value"] if len(table) == 1 else value


def override(tables: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, Any]:
    """A copy of ``tables`` in which each dotted key of ``overrides`` has won."""
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in tables.items()}
    for dotted, value in overrides.items():
        *parents, leaf = dotted.split(".")
        table: dict[str, Any] = merged
        for parent in parents:
            below = table.setdefault(parent, {})
            if not isinstance(below, dict):
                raise ExperimentError(f"{dotted}: {parent} is a single value, not a table")
            table = below
        table[leaf] = value
    return merged


def check_keys(kind: type, tables: Mapping[str, Any], open_tables: tuple[str, ...] = ()) -> None:
    """Raise :class:`ExperimentError` for the first key that ``kind`` does not have, suggesting the near one.

    Parameters
    ----------
    kind
        The dataclass that ``tables`` will fill; fields that are dataclasses are sub-tables.
    open_tables
        Names of the sub-tables in which any further key is allowed.
    """
    known = dict(_fields(kind))
    for key, value in tables.items():
        if key not in known:
            raise ExperimentError(_unknown(kind, "", key, known))
        section = known[key]
        if section is None or key in open_tables:
            continue
        if not isinstance(value, Mapping):
            raise ExperimentError(
                f"{key} = {value!r}: expected a table with the keys {', '.join(dict(_fields(section)))}"
            )
        for leaf in value:
            if leaf not in dict(_fields(section)):
                raise ExperimentError(_unknown(kind, key, leaf, dict(_fields(section))))


GATHERED = ("arguments", "parameters")
"""Fields that no file names: what a strategy or an estimator is given beside the house's own keys is gathered there."""


def shown(key: str) -> str:
    """The name of a key as a file has it: a strategy's or an estimator's arguments stand beside the house's own."""
    key = key.replace("federated.arguments.", "federated.").replace("gossip.arguments.", "gossip.")
    return key.replace("model.parameters.", "model.")


def convert(tables: Mapping[str, Any], kind: type[T]) -> T:
    """Fill the dataclass ``kind``; a value of the wrong type or out of range raises :class:`ExperimentError`."""
    for key, value in _numbers(tables):
        if not math.isfinite(value):
            raise ExperimentError(f"{shown(key)} = {value}: expected a finite number")
    try:
        return msgspec.convert(tables, kind)
    except msgspec.ValidationError as error:
        raise ExperimentError(_explain(str(error), tables, kind)) from None


def _numbers(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Each number of a tree of maps, by its dotted key: TOML can say nan and inf, and no key means them."""
    for key, value in tables.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, float):
            yield prefix + key, value


def _fields(kind: type) -> Iterator[tuple[str, type | None]]:
    """Each key of a dataclass, and the dataclass below it if it is a sub-table."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        yield field.name, hint if dataclasses.is_dataclass(hint) and isinstance(hint, type) else None


def _unknown(root: type, section: str, key: str, here: Mapping[str, object]) -> str:
    """Where a key stands wrong, the same name elsewhere is the best guess; then one that is spelt alike, here first."""
    here = {name: below for name, below in here.items() if name not in GATHERED}
    dotted = {f"{name}.{leaf}" for name, below in _fields(root) if below for leaf, _ in _fields(below)}
    dotted -= {f"{name}.{leaf}" for name, _ in _fields(root) for leaf in GATHERED}
    everywhere = dotted | set(dict(_fields(root)))
    prefix = f"{section}." if section else ""
    guess = next((name for name in sorted(everywhere) if name.rpartition(".")[2] == key), None)
    if guess is None:
        near = difflib.get_close_matches(key, here, n=1)
        guess = f"{prefix}{near[0]}" if near else None
    if guess is None:
        leaves = {name.rpartition(".")[2]: name for name in sorted(everywhere, reverse=True)}
        near = difflib.get_close_matches(key, leaves, n=1)
        guess = leaves[near[0]] if near else None
    place = f"[{section}]" if section else _UNDER_ROOT
    hint = f"did you mean {guess}?" if guess else f"{place} has {', '.join(here)}"
    return f"{prefix}{key}: there is no such key; {hint}"


def _explain(message: str, tables: Mapping[str, Any], kind: type) -> str:
    """Turn msgspec's ``Expected `int`, got `str` - at `$.nodes``` into the words of this project's users."""
    match = _WHERE.match(message)
    what, path = (match["what"], (match["path"] or "").lstrip(".")) if match else (message, "")
    keys = re.sub(r"\[.*?\]", "", path).strip(".")
    found: Any = tables
    hint: Any = kind
    for key in keys.split(".") if keys else ():
        found = found[key]
        hint = typing.get_type_hints(hint)[key]
    allowed = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
    if allowed:
        near = difflib.get_close_matches(str(found), [str(name) for name in allowed], n=1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        return f"{keys} = {found!r}: expected one of {', '.join(map(str, allowed))}{guess}"
    expected = what.removeprefix("Expected ").split(", got ")[0].replace("`", "")
    expected = re.sub(r"\b(" + "|".join(_TYPES) + r")\b", lambda m: _TYPES[m[1]], expected).replace(" | ", " or ")
    return f"{keys or _UNDER_ROOT} = {found!r}: expected {expected}"
