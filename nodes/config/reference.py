"""Every key of the experiment file in words, read off the tables themselves: their types, defaults and comments.

``python -m nervenet.nodes.config.reference`` prints docs/keys.md.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
import typing
from dataclasses import dataclass
from typing import Any

from msgspec import Meta

from . import schema
from .keys import GATHERED, ExperimentError, table_of
from .ranges import LARGEST

_FIELD = re.compile(r"^    (?P<name>\w+): .*? = (?:[^#]|#(?! ))*?(?:  # (?P<comment>.*))?$")
_KINDS: dict[Any, str] = {int: "whole number", float: "number", str: "text", bool: "true or false"}
_BOUNDS = {"gt": "above {:g}", "ge": "at least {:g}", "lt": "below {:g}", "le": "at most {:g}"}


HEAD = """# Keys of the experiment file

Also at the command line: `nervenet explain KEY`. Keys that end in `_s` are seconds, in `_bytes` bytes. Open: chosen
from the rest, as `experiment.toml` of a run folder then says; `none` on the command line takes such a key back. Further
keys of `[model]`, `[federated]` and `[gossip]` are arguments of what is chosen there.
"""


@dataclass(frozen=True)
class KeyInfo:
    """A key in words."""

    key: str
    type: str
    default: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.key}\n  {self.meaning}\n  type     {self.type}\n  default  {self.default}"


def explain(key: str) -> list[KeyInfo]:
    """Return the key, by its dotted or its last name, or all keys of a table; raise ExperimentError for another.

    Of a parameter under [model] that only some families take, there is one for each.
    """
    infos = all_keys()
    found = [info for info in infos if key in (info.key, info.key.rpartition(".")[2])]
    found = found or [info for info in infos if info.key.startswith(f"{key}.")]
    if [info.key for info in found] == ["model.name"]:
        from nervenet.models.registry import FAMILIES

        found = [dataclasses.replace(found[0], meaning=f"{found[0].meaning}: {', '.join(sorted(FAMILIES))}")]
    if not found and key.startswith("model."):
        from .model_parameters import owners

        own = owners(key.removeprefix("model."))
        found = [KeyInfo(key, "see there", default, meaning) for default, meaning in own]
    if not found:
        names = {info.key: info.key for info in infos} | {info.key.rpartition(".")[2]: info.key for info in infos}
        near = difflib.get_close_matches(key, names, n=1)
        hint = f"; did you mean {names[near[0]]}?" if near else ""
        if key.startswith("model."):
            hint = f", nor is it a parameter of a model that is built in{hint}"
        raise ExperimentError(f"{key}: there is no such key{hint}")
    return found


def all_keys() -> list[KeyInfo]:
    """Return every key, in the order of the experiment file."""
    plain, tables = [], []
    comments, hints = _comments(schema.Experiment), typing.get_type_hints(schema.Experiment, include_extras=True)
    for field in dataclasses.fields(schema.Experiment):
        if dataclasses.is_dataclass(hints[field.name]):
            tables += _keys_of(hints[field.name], field.name)
        else:
            plain.append(KeyInfo(field.name, _type(hints[field.name]), _default(field), comments[field.name]))
    return plain + tables


def _keys_of(table: type, name: str) -> list[KeyInfo]:
    comments, hints = _comments(table), typing.get_type_hints(table, include_extras=True)
    found = []
    for field in dataclasses.fields(table):
        if (below := table_of(hints[field.name])) is not None:
            found += _keys_of(below, f"{name}.{field.name}.NAME")
        elif dataclasses.is_dataclass(kind := hints[field.name]) and isinstance(kind, type):
            found += _keys_of(kind, f"{name}.{field.name}")
        elif field.name != GATHERED.get(name):
            info = KeyInfo(f"{name}.{field.name}", _type(hints[field.name]), _default(field), comments[field.name])
            found.append(info)
    return found


def _comments(table: type) -> dict[str, str]:
    """Return what the source says of each field: the comment behind it, after those in the lines above it."""
    found: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(table).splitlines():
        if line.startswith("    # "):
            above.append(line[6:])
            continue
        if field := _FIELD.match(line):
            found[field["name"]] = " ".join([*above, field["comment"] or ""]).strip()
        above = []
    return found


def _type(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        meta = next(argument for argument in arguments if isinstance(argument, Meta))
        limits = {key: getattr(meta, key) for key in _BOUNDS}
        # The largest number that a message can carry is no limit that anybody needs to know.
        bounds = [_BOUNDS[key].format(value) for key, value in limits.items() if value not in (None, LARGEST)]
        return " ".join([_KINDS[arguments[0]], " and ".join(bounds)]).strip()
    if origin is typing.Literal:
        return ", ".join(map(str, arguments))
    if origin is dict:
        return f"table: {_type(arguments[1])} by name"
    if origin is tuple:
        return f"list: {_type(arguments[0])}"
    if type(None) in arguments:
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    return _KINDS[hint]


def _default(field: dataclasses.Field[Any]) -> str:
    match field.default:
        case None:
            return "open"
        case "" | ():
            return "empty"
        case bool():
            return str(field.default).lower()
        case tuple():
            return str(list(field.default))
    return str(field.default)


def markdown() -> str:
    """Return docs/keys.md."""
    lines = [HEAD, "| key | type | default | meaning |", "|---|---|---|---|"]
    for info in all_keys():
        cells = (f"`{info.key}`", info.type, info.default, info.meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
