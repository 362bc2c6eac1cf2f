"""Algorithms in words, read off their docstrings: for help texts and documentation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FIRST = re.compile(r"(?P<what>.*) \((?P<paper>[^()]*\d{4}[^()]*)\)(?P<more>.*)\.")


@dataclass(frozen=True)
class PluginInfo:
    """A strategy or an algorithm in words.

    Attributes
    ----------
    name
        As a configuration has it.
    summary, paper
        One line, and whose idea it is.
    details
        The rest of its docstring.
    arguments
        Each with its default; None: chosen from the rest.
    """

    name: str
    summary: str
    paper: str
    details: str
    arguments: Mapping[str, Any]


def described(name: str, cls: type, arguments: Mapping[str, Any]) -> PluginInfo:
    """Describe a class whose docstring begins with what it does and whose idea it is.

    Raises
    ------
    ValueError
        It does not.
    """
    first, _, details = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")
    summary = _FIRST.fullmatch(" ".join(first.split()))
    if summary is None:
        raise ValueError(f"{name}: the docstring must begin with a summary and a paper: What it does (Who et al. year)")
    return PluginInfo(name, summary["what"] + summary["more"], summary["paper"], details, arguments)
