"""A strategy of your own: the mean without its extremes, with momentum at the server. In this folder:

nervenet launch --data digits --strategy own_strategy:TrimmedMomentum --set federated.f=2
"""

from dataclasses import dataclass
from functools import cached_property

from nervenet.nodes import strategies


@dataclass(frozen=True)
class TrimmedMomentum(strategies.Composed):
    """The fields are keys of ``[federated]``; a part can be any function or object of your own, see `strategies`."""

    f: int = 1
    server_momentum: float = 0.9

    @cached_property
    def pipeline(self) -> strategies.Pipeline:
        """The parts that differ from federated averaging."""
        return strategies.Pipeline(
            weigh=strategies.equally,
            combine=strategies.Trimmed(self.f),
            step=strategies.Momentum(rate=1.0, beta=self.server_momentum),
        )
