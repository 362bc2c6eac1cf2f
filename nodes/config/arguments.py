"""The arguments that a chosen strategy or algorithm has of its own, as keys of ``[federated]`` or ``[gossip]``."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from .keys import ExperimentError, convert, is_elsewhere, keys_of, unknown_key
from .schema import Experiment

T = TypeVar("T")


def arguments_of(cls: type) -> dict[str, Any]:
    """Return the arguments of a class with their defaults.

    A field of a dataclass with ``metadata={"setting": KEY}`` is none: it is filled from that key of the table.
    """
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    settings = {f.name for f in fields if "setting" in f.metadata}
    parameters = inspect.signature(cls).parameters
    return {name: parameter.default for name, parameter in parameters.items() if name not in settings}


def unknown_argument(key: str, name: str, cls: type, arguments: Iterable[str]) -> str:
    """Return what to say of the first argument that what was chosen does not have; empty: it has them all."""
    table, allowed = key.partition(".")[0], arguments_of(cls)
    argument = next((argument for argument in arguments if argument not in allowed), None)
    if argument is None:
        return ""
    if not allowed or is_elsewhere(Experiment, argument):
        return unknown_key(Experiment, table, argument)
    near = difflib.get_close_matches(argument, [*sorted(allowed), *keys_of(Experiment, table)], n=1)
    hint = f"did you mean {table}.{near[0]}?" if near else f"{name} has {', '.join(sorted(allowed))}"
    return f"{table}.{argument}: there is no such key; {hint}"


def build(key: str, name: str, cls: type[T], arguments: Mapping[str, Any], **settings: Any) -> T:
    """Build what was chosen: `cls` by `name` under `key` (``federated.strategy``), with the `arguments` of the table.

    `settings` are keys of the table that all have, for the fields that ask for them.

    Raises
    ------
    ExperimentError
        For an argument that it does not have, or a value that is not allowed; names the key, what was found and what
        is allowed.
    """
    if unknown := unknown_argument(key, name, cls, arguments):
        raise ExperimentError(unknown)
    try:
        if not dataclasses.is_dataclass(cls):
            return cls(**arguments)
        asked = {f.name: settings[f.metadata["setting"]] for f in dataclasses.fields(cls) if "setting" in f.metadata}
        return convert({**arguments, **asked}, cls)
    except ExperimentError as error:
        raise ExperimentError(f"{key.partition('.')[0]}.{error}") from None
    except (TypeError, ValueError) as error:
        raise ExperimentError(f"{key} = {name!r}: {error}") from None
