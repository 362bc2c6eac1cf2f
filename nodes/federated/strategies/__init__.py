"""How admitted updates become the next global model: named compositions of screen -> clip -> weigh -> combine -> step.

`registry` has the names, `contract` what a strategy is, `pipeline` the parts that most are composed of.
"""

from .contract import Contribution, Demands, Outcome, State, Strategy, StrategyError
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
