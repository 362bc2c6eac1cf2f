"""How admitted updates become the next global model: compositions of screen, clip, select, weigh, combine and step.

`base` has what a strategy is, `pipeline` what most are composed of, `registry` the names. All that a strategy of your
own needs can be had from here: ``from nervenet.nodes import strategies``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base import Contribution, Demands, Outcome, State, Stateless, Strategy, StrategyError, Vector
from .pipeline import Composed, Mean, Pipeline, by_examples, equally

if TYPE_CHECKING:
    from .deltas import shifted
    from .outliers import OutOfLine
    from .robust_parts import (
        BoundedMean,
        BulyanSelection,
        ClippedMean,
        CoordinateMedian,
        KrumSelection,
        MeanAroundMedian,
        Trimmed,
        Weiszfeld,
    )
    from .server_optimizers import Adaptive, Momentum

__all__ = [
    "Adaptive",
    "BoundedMean",
    "BulyanSelection",
    "ClippedMean",
    "Composed",
    "Contribution",
    "CoordinateMedian",
    "Demands",
    "KrumSelection",
    "Mean",
    "MeanAroundMedian",
    "Momentum",
    "OutOfLine",
    "Outcome",
    "Pipeline",
    "State",
    "Stateless",
    "Strategy",
    "StrategyError",
    "Trimmed",
    "Vector",
    "Weiszfeld",
    "by_examples",
    "equally",
    "shifted",
]

_HOMES = {
    "Adaptive": "server_optimizers",
    "Momentum": "server_optimizers",
    "OutOfLine": "outliers",
    "shifted": "deltas",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES.get(name, 'robust_parts')}", __name__), name)
