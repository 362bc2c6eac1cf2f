"""The choices of a configuration by name: those built in, and those that other installed packages bring.

A package brings its own by an entry point; docs/extending.md shows how.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module, invalidate_caches
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

_SUMMARY = re.compile(r"(?P<what>.*) \((?P<paper>[^()]*\d{4}[^()]*)\)(?P<more>.*)\.")


@dataclass(frozen=True)
class PluginInfo:
    """A strategy or an algorithm in words."""

    name: str
    summary: str  # one line
    paper: str  # whose idea it is
    details: str  # the rest of its docstring
    arguments: Mapping[str, Any]  # each with its default; None: chosen from the rest


def plugin_info(name: str, cls: type, arguments: Mapping[str, Any]) -> PluginInfo:
    """Read the description off a class whose docstring begins with: What it does (Who et al. year).

    Raises
    ------
    ValueError
        It begins with something else.
    """
    first, _, details = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")
    found = _SUMMARY.fullmatch(" ".join(first.split()))
    if found is None:
        raise ValueError(f"{name}: the docstring must begin with a summary and a paper: What it does (Who et al. year)")
    return PluginInfo(name, found["what"] + found["more"], found["paper"], details, arguments)


def suggest(word: str, known: Collection[str]) -> str:
    """Return `` (did you mean X?)`` with the known name that is spelled most alike; empty where none is near.

    Of a dotted name the last part alone is as near as can be.
    """
    near = [name for name in known if "." in name and name.rpartition(".")[2].lower() == word.lower()]
    near += [match for as_typed in (word, word.lower()) for match in difflib.get_close_matches(as_typed, [*known], n=1)]
    return f" (did you mean {near[0]}?)" if near else ""


def listed(values: Sequence[object], most: int = 8) -> str:
    """Return a few values as text, and how many more there are."""
    shown = ", ".join(map(str, values[:most]))
    return f"{shown}, … {len(values) - most} more" if len(values) > most else shown


class Registry(Mapping[str, T]):
    """What can be chosen under one key of a configuration; each is imported when it is first asked for.

    Parameters
    ----------
    key : str
        For error messages: ``federated.strategy``.
    group : str
        Entry point group by which installed packages bring more: ``nervenet.strategies``.
    builtin : mapping
        From a name to what it stands for, or to where that is: ``module:Attribute``.
    package : str
        Which those modules are in.
    error : type
        What an unknown name raises.
    check : callable
        Returns what is wrong with an object from outside, empty if nothing is: ``lacks apply``.
    example : str
        An import path for error messages, where the key also takes the import path of a user's own; empty: it does not.
    """

    def __init__(
        self,
        key: str,
        group: str,
        builtin: Mapping[str, str | T],
        *,
        package: str = "",
        error: type[ValueError] = ValueError,
        check: Callable[[object], str] = lambda _: "",
        example: str = "",
    ) -> None:
        self.key = key
        self.group = group
        self.builtin = builtin
        self._prefix = f"{package}." if package else ""
        self._error = error
        self._check = check
        self._example = example

    @property
    def names(self) -> tuple[str, ...]:
        """All names: those built in, then those of installed packages in alphabetical order."""
        return (*self.builtin, *sorted(self._entry_points().keys() - self.builtin.keys()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self._entry_points()

    def __getitem__(self, name: str) -> T:
        """Import what a name stands for.

        Raises
        ------
        ValueError
            Of the registry's `error` type: nothing has this name, it cannot be imported, or it is not what it should
            be.
        """
        if name in self.builtin:
            found = self.builtin[name]
            return cast(T, _load(f"{self._prefix}{found}")) if isinstance(found, str) else found
        where = f"{self.key} = {name!r}: "
        if self._example and ":" in name:
            load: Callable[[], Any] = partial(_load_with_current_folder, name)
        elif entry_point := self._entry_points().get(name):
            load = entry_point.load
        else:
            own = f", or the import path of your own, as in {self._example}" if self._example else ""
            raise self._error(f"{where}expected one of {', '.join(self.names)}{own}{suggest(name, self.names)}")
        plugin = _loaded(load, where, self._error)
        wrong = self._check(plugin)
        if wrong:
            raise self._error(f"{where}{wrong}; docs/extending.md describes what is expected")
        return cast(T, plugin)

    def _entry_points(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points

        return {found.name: found for found in entry_points(group=self.group)}


def lacks(cls: object, *attributes: str) -> str:
    """Return what is wrong with an object that should be a class with some attributes; empty: nothing is."""
    missing = [name for name in attributes if not hasattr(cls, name)]
    if missing:
        return f"lacks {', '.join(missing)}"
    return "" if inspect.isclass(cls) else "is no class"


def imported(path: str, key: str) -> Any:
    """Return what the import path ``module:name`` leads to; `key` is where it was given.

    Raises
    ------
    ValueError
        It cannot be imported.
    """
    return _loaded(partial(_load_with_current_folder, path), f"{key} = {path!r}: ", ValueError)


def _loaded(load: Callable[[], Any], where: str, raised: type[ValueError]) -> Any:
    try:
        return load()
    except Exception as error:  # noqa: BLE001  (whatever a foreign module raises while it is imported)
        kind = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise raised(f"{where}cannot be imported: {kind}{error}") from None


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _load_with_current_folder(path: str) -> Any:
    """Import as a script in the current folder would.

    A console script has its own folder on the path and not the user's, so the current folder comes last for as long as
    the import takes; an embedded node leaves its owner's path as it was.
    """
    from pathlib import Path

    here = str(Path.cwd())
    if here in sys.path or "" in sys.path:
        return _load(path)
    sys.path.append(here)
    invalidate_caches()
    try:
        return _load(path)
    finally:
        with suppress(ValueError):
            sys.path.remove(here)
