"""From a user's keys and values to checked dataclasses: dotted keys, their types, and errors that help."""

import dataclasses
import difflib
import math
import re
import tomllib
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from nervenet.models.plugins import suggest

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

GATHERED = {"model": "parameters", "federated": "arguments", "gossip": "arguments"}
"""Fields that no file names: what is chosen in a table has further keys of its own, which are gathered there."""


_OF_COLUMN = re.compile(r"data\.columns\.(?P<name>.+)\.(?P<leaf>[^.]+)")
_SHORT_NUMBER = re.compile(r"[+-]?(\.[0-9]+|[0-9]+\.)([eE][+-]?[0-9]+)?")
"""Numbers as people type them, which TOML wants with a digit on both sides of the point."""


class ExperimentError(ValueError):
    """A configuration that cannot be run: one or two lines that name the key, what was found and what is allowed."""


def parse_set(text: str) -> tuple[str, object]:
    """Split ``a.b=value``; the value is TOML where it can be read as TOML (numbers, lists, true), else plain text.

    `left_open` says which texts are none of these.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key or not all(_path(key)):
        raise ExperimentError(f"--set {text}: expected KEY=VALUE with a dotted key, as in --set training.epochs=3")
    try:
        table = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key, float(value) if _SHORT_NUMBER.fullmatch(value) else value
    # A value with a line break could smuggle in a second key; it is text then.
    return key, table["value"] if len(table) == 1 else value


def left_open(root: type, key: str, text: str) -> bool:
    """Whether a text (``none``, or nothing) takes back a key, so that it is as if no file said anything of it.

    So it is of keys whose default is nothing, or an empty text or list, and that have no value of that name.
    """
    if text.strip().lower() not in ("", "none"):
        return False
    section, _, leaf = key.rpartition(".")
    kind = _tables(root).get(section)
    field = None if kind is None else next((field for field in dataclasses.fields(kind) if field.name == leaf), None)
    if kind is None or field is None or field.default not in (None, "", ()):
        return False
    return "none" not in str(typing.get_type_hints(kind)[leaf]).split("'")


def override(tables: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, Any]:
    """Return the tables with other values for some dotted keys; None takes a key back."""
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in tables.items()}
    for dotted, value in overrides.items():
        *parents, leaf = _path(dotted)
        table: dict[str, Any] = merged
        for parent in parents:
            below = table.setdefault(parent, {})
            if not isinstance(below, dict):
                raise ExperimentError(f"{dotted}: {parent} is a single value, not a table")
            table = below
        if value is None:
            table.pop(leaf, None)
        else:
            table[leaf] = value
    return merged


def _path(dotted: str) -> list[str]:
    """Return the parts of a key; the name of a column may have points itself, and stand in quotes or not."""
    found = _OF_COLUMN.fullmatch(dotted)
    if found is None:
        return dotted.split(".")
    name = found["name"]
    quoted = len(name) > 1 and name[0] == name[-1] == '"'
    return ["data", "columns", name[1:-1] if quoted else name, found["leaf"]]


def check_keys(kind: type, tables: Mapping[str, Any], open_tables: tuple[str, ...] = ()) -> None:
    """Raise :class:`ExperimentError` for the first key that ``kind`` does not have, suggesting the near one.

    Fields of ``kind`` that are dataclasses are sub-tables; in those of ``open_tables`` any further key is allowed.
    """
    known = _fields(kind)
    for key, value in tables.items():
        if key not in known:
            raise ExperimentError(unknown_key(kind, "", key))
        section = known[key]
        if section is not None:
            _check_table(kind, key, section, value, anything=key in open_tables)


def _check_table(root: type, key: str, kind: type, value: object, *, anything: bool = False) -> None:
    """Raise :class:`ExperimentError` for the first unknown key of one table and of those below it."""
    names = _fields(kind)
    if not isinstance(value, Mapping):
        raise ExperimentError(f"{key} = {value!r}: expected a table with the keys {', '.join(names)}")
    for leaf, below in value.items():
        if leaf not in names:
            if not anything:
                raise ExperimentError(unknown_key(root, key, leaf))
        elif (inner := names[leaf]) is not None:
            _check_table(root, f"{key}.{leaf}", inner, below)
    for leaf, named in _tables_by_name(kind).items():
        _check_named(f"{key}.{leaf}", named, value.get(leaf, {}))


def _check_named(key: str, kind: type, tables: object) -> None:
    """Raise :class:`ExperimentError` for the first unknown key of tables that have names of the user's own."""
    names = _fields(kind)
    if not isinstance(tables, Mapping):
        raise ExperimentError(f"{key} = {tables!r}: expected a table for each name, as in [{key}.NAME]")
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise ExperimentError(f"{key}.{name} = {table!r}: expected a table with the keys {', '.join(names)}")
        for leaf in table:
            if leaf not in names:
                hint = suggest(leaf, names) or f"; [{key}.NAME] has {', '.join(names)}"
                raise ExperimentError(f"{key}.{name}.{leaf}: there is no such key{hint}")


def as_in_file(key: str) -> str:
    """Return a dotted key as a file has it: gathered keys stand among the table's own."""
    for table, gathered in GATHERED.items():
        key = key.replace(f"{table}.{gathered}.", f"{table}.")
    return key


def convert(tables: Mapping[str, Any], kind: type[T]) -> T:
    """Fill the dataclass ``kind``.

    Raises
    ------
    ExperimentError
        A value of the wrong type or out of range.
    ValueError
        What the dataclass itself raises for values that do not go together.
    """
    for key, value in flat(tables).items():
        if isinstance(value, float) and not math.isfinite(value):  # which TOML can say, and no key means
            raise ExperimentError(f"{as_in_file(key)} = {value}: expected a finite number")
    try:
        return msgspec.convert(tables, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ValueError):  # of the dataclass itself
            raise error.__cause__ from None
        raise ExperimentError(_explain(str(error), tables, kind)) from None


def check_types(tables: Any, prefix: str = "") -> None:
    """Raise :class:`ExperimentError` for the first field of a dataclass that holds what no file could have given it.

    Nobody checks what a program gives the dataclass itself.
    """
    kind: type = type(tables)
    plain = {}
    for name, below in _fields(kind).items():
        value, key = getattr(tables, name), f"{prefix}{name}"
        if below is None:
            plain[name] = {} if prefix and GATHERED.get(prefix[:-1]) == name else value
        elif isinstance(value, below):
            check_types(value, f"{key}.")
        else:
            raise ExperimentError(
                f"{key} = {value!r}: expected a {below.__name__}; Experiment.from_dict takes plain tables"
            )
    try:
        convert(plain, kind)
    except ExperimentError as error:
        raise ExperimentError(f"{prefix}{error}") from None


def flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = list(value) if isinstance(value, tuple) else value
    return found


@cache
def _tables_by_name(kind: type) -> dict[str, type]:
    """Return the keys of a dataclass that hold tables by names of the user's own, with the dataclass of each table."""
    hints = typing.get_type_hints(kind)
    found = {name: table_of(hint) for name, hint in hints.items()}
    return {name: table for name, table in found.items() if table is not None}


def table_of(hint: Any) -> type | None:
    """Return the dataclass of which a key holds one for each name; None for any other key."""
    if typing.get_origin(hint) is not dict:
        return None
    kind: type = typing.get_args(hint)[1]
    return kind if dataclasses.is_dataclass(kind) else None


@cache
def _fields(kind: type) -> dict[str, type | None]:
    """Return each key of a dataclass, with the dataclass below it if it is a sub-table."""
    hints = typing.get_type_hints(kind)
    tables = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint) and isinstance(hint, type)}
    return {field.name: tables.get(field.name) for field in dataclasses.fields(kind)}


@cache
def _tables(root: type) -> dict[str, type]:
    """Return every table by its dotted key, the root by the empty one."""
    found: dict[str, type] = {"": root}
    for name, below in _fields(root).items():
        if below is not None:
            found |= {f"{name}.{deeper}".rstrip("."): kind for deeper, kind in _tables(below).items()}
    return found


def is_elsewhere(root: type, leaf: str) -> bool:
    """Whether a table has a key of this name."""
    return any(leaf in keys_of(root, name) for name in _tables(root) if name)


def unknown_key(root: type, section: str, key: str) -> str:
    """Return what to say of a key that is not there.

    The same name elsewhere is the best guess, then one that is spelled alike, here first.
    """
    dotted = [f"{name}.{leaf}" for name in _tables(root) if name for leaf in keys_of(root, name)]
    leaves = {name.rpartition(".")[2]: name for name in sorted([*dotted, *keys_of(root)], reverse=True)}
    here = keys_of(root, section)
    prefix = f"{section}." if section else ""
    guess = leaves.get(key)
    if guess is None and (near := difflib.get_close_matches(key, here, n=1)):
        guess = f"{prefix}{near[0]}"
    if guess is None and (near := difflib.get_close_matches(key, leaves, n=1)):
        guess = leaves[near[0]]
    place = f"[{section}]" if section else _UNDER_ROOT
    if section == "model" and not (guess or "").startswith(("model.", "training.")):
        # More likely an estimator's own argument than a key of a table that has nothing to do with models.
        guess, place = None, "without an estimator (--model sklearn.linear_model.SGDClassifier) [model]"
    hint = f"did you mean {guess}?" if guess else f"{place} has {', '.join(here)}"
    return f"{prefix}{key}: there is no such key; {hint}"


def keys_of(root: type, section: str = "") -> list[str]:
    return [name for name in _fields(_tables(root)[section]) if name != GATHERED.get(section)]


def _first_wrong(keys: str, tables: Mapping[str, Any], key: str, hint: Any) -> tuple[str, Any]:
    """Return the dotted key, with its name, and the value of the first of some tables that has a wrong one."""
    place, _, _ = keys.rpartition(f".{key}")
    for name, table in tables.items():
        if key in table:
            try:
                msgspec.convert(table[key], hint)
            except msgspec.ValidationError:
                return f"{place}.{name}.{key}", table[key]
    return keys, tables


def _of_table(key: str, found: Mapping[str, Any], hint: Any) -> str:
    """Say which value of a table, whose names are the user's, is none."""
    for name, value in found.items():
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            expected = str(error).removeprefix("Expected ").split(", got ")[0].replace("`", "")
            expected = re.sub(r"\b(" + "|".join(_TYPES) + r")\b", lambda m: _TYPES[m[1]], expected)
            return f"{key}.{name} = {value!r}: expected {expected}"
    return f"{key} = {found!r}: expected a table"


def _is_literal(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Literal


def _explain(message: str, tables: Mapping[str, Any], kind: type) -> str:
    """Translate msgspec's ``Expected `int`, got `str` - at `$.nodes```: name the key, what was found and is allowed."""
    match = _WHERE.match(message)
    what, path = (match["what"], (match["path"] or "").lstrip(".")) if match else (message, "")
    keys = re.sub(r"\[.*?\]", "", path).strip(".")
    found: Any = tables
    hint: Any = kind
    for key in keys.split(".") if keys else ():
        if typing.get_origin(hint) is dict:  # msgspec does not say of which name
            hint = typing.get_args(hint)[1]
            keys, found = _first_wrong(keys, found, key, typing.get_type_hints(hint)[key])
        else:
            found = found[key]
        hint = typing.get_type_hints(hint, include_extras=True)[key]
    by_name = next((one for one in typing.get_args(hint) if typing.get_origin(one) is dict), None)
    if by_name is not None and isinstance(found, Mapping):
        return _of_table(keys, found, typing.get_args(by_name)[1])
    allowed = next((typing.get_args(one) for one in (hint, *typing.get_args(hint)) if _is_literal(one)), ())
    if allowed:
        names = [str(name) for name in allowed]
        table = "" if by_name is None else f", or a table (--set {keys}.NAME=…)"
        return f"{keys} = {found!r}: expected one of {', '.join(names)}{table}{suggest(str(found), names)}"
    elements = [typing.get_args(one)[0] for one in (hint, *typing.get_args(hint)) if typing.get_origin(one) is tuple]
    each = [str(name) for element in elements if _is_literal(element) for name in typing.get_args(element)]
    if each and isinstance(found, list | tuple):
        wrong = next((str(one) for one in found if one not in each), "")
        return f"{keys} = {found!r}: expected a list of {', '.join(each)}{suggest(wrong, each)}"
    expected = what.removeprefix("Expected ").split(", got ")[0].replace("`", "")
    expected = re.sub(r"\b(" + "|".join(_TYPES) + r")\b", lambda m: _TYPES[m[1]], expected).replace(" | ", " or ")
    return f"{keys or _UNDER_ROOT} = {found!r}: expected {expected}"
