"""A strategy of your own: the mean without its extremes, with momentum at the server. In this folder:

nervenet launch --data digits --strategy own_strategy:TrimmedMomentum --set federated.f=2
"""

from dataclasses import dataclass
from functools import cached_property

from nervenet.nodes.federated.strategies import Composed, Pipeline
from nervenet.nodes.federated.strategies.pipeline import equally
from nervenet.nodes.federated.strategies.robust import Trimmed
from nervenet.nodes.federated.strategies.server_optimizers import Momentum


@dataclass(frozen=True)
class TrimmedMomentum(Composed):
    """The fields are keys of ``[federated]``; a part can be any function or object of your own, see `pipeline`."""

    f: int = 1
    server_momentum: float = 0.9

    @cached_property
    def pipeline(self) -> Pipeline:
        """The parts that differ from federated averaging."""
        return Pipeline(weigh=equally, combine=Trimmed(self.f), step=Momentum(rate=1.0, beta=self.server_momentum))
