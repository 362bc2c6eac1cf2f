"""How admitted updates become the next global model: compositions of screen, clip, select, weigh, combine and step.

`registry` has the names, `base` what a strategy is, `pipeline` the parts that most are composed of.
"""

from .base import Contribution, Demands, Outcome, State, Strategy, StrategyError
from .pipeline import Composed, Pipeline

__all__ = [
    "Composed",
    "Contribution",
    "Demands",
    "Outcome",
    "Pipeline",
    "State",
    "Strategy",
    "StrategyError",
]
