"""CHOCO-SGD: gossip by compressed differences, from copies that sender and receivers keep alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from nervenet.models.aggregate import combine
from nervenet.models.compress import Codec, parse

from ...config.ranges import Share
from .base import Algorithm, Incoming, Needs, Outgoing, OutgoingVector, Progress, State, Stepped, Vector, number

COPY, VERSION = "copy/", "version/"  # with a neighbor's name behind; of this peer, with none


@dataclass(frozen=True)
class Choco(Algorithm):
    """Send only the compressed difference to what the neighbors know of one (Koloskova et al. 2019).

    arXiv 1902.00340, Algorithm 2, with y_i a copy of x_i that i and its neighbors hold alike::

        q_i = Q(x_i - y_i)                         sent
        y_j <- y_j + q_j                           by all who hold y_j
        x_i <- x_i + γ sum_j W_ij (y_j - y_i)

    What compression leaves out of q_i stays in x_i - y_i and is sent later: that is the error feedback. As W is
    symmetric, the mean over peers is kept exactly, whatever Q leaves out. Copies cannot diverge in silence: a message
    says how many its copy had seen before, and who does not hold that copy asks for the whole of it, and meanwhile
    leaves that neighbor out.

    Theory asks for a small γ (Theorem 2); in practice far larger ones are stable. It costs a model's memory for each
    neighbor. Where bytes are no matter, ``dpsgd`` agrees faster.
    """

    needs: ClassVar[Needs] = Needs(varying=False, compression=True)

    # The step towards the neighbors: 1 mixes as dpsgd would, the coarser the codec, the smaller. None: 1, or with
    # top-k six times the share, at least .1 (measured best: .6 for .1, .3 for .05, .1 for .01; twice that diverges).
    gamma: Share | None = None
    codec: str = field(default="", metadata={"setting": "compression"})  # that is gossip.compression

    @property
    def compressor(self) -> Codec:
        """Q; differences are what it is for, so that the stage ``delta`` may be left out."""
        return parse(as_difference(self.codec))

    @property
    def step_size(self) -> float:
        """γ: as given, or by what share of the elements goes with each message."""
        if self.gamma is not None:
            return self.gamma
        top = self.compressor.top
        return 1.0 if top is None else min(1.0, max(0.1, 6.0 * top.share))

    def init(self, weights: Vector, common: Vector) -> State:  # noqa: ARG002
        return {"common": common, COPY: common, VERSION: number(0)}

    def forget(self, state: State, peer: str) -> State:
        return {name: array for name, array in state.items() if name not in (COPY + peer, VERSION + peer)}

    def outgoing(self, state: State, progress: Progress) -> tuple[State, Outgoing]:
        """Encode the difference, and move one's own copy by what others will make of it."""
        codec, x, y = self.compressor, progress.after, state[COPY]
        version = int(state[VERSION])
        frame = codec.encode(x - y, progress.rng)
        y = y + codec.decode(frame, x.size, x.dtype)
        whole = {peer: OutgoingVector(y, base=version) for peer in progress.whole}
        after = {**state, COPY: y, VERSION: number(version + 1), "half": x}
        return after, Outgoing(OutgoingVector(frame, base=version, encoding=codec.spec), whole)

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:  # noqa: ARG002
        after: dict[str, Vector] = dict(state)
        x, y, gamma = after.pop("half"), state[COPY], self.step_size
        vectors, weights, wanted = [x], [1.0], []
        for peer, message in inbox.items():
            base = message.base or 0
            if not message.encoded:
                after[COPY + peer] = message.vector
            elif base == int(state.get(VERSION + peer, 0)):
                after[COPY + peer] = state.get(COPY + peer, state["common"]) + message.vector
            else:
                wanted.append(peer)
                continue
            after[VERSION + peer] = number(base + 1)
            vectors.append(after[COPY + peer] - y)
            weights.append(gamma * row[peer])
        return Stepped(after, combine(vectors, weights), tuple(wanted))


def as_difference(spec: str) -> str:
    """Return a codec's spec with the stage ``delta`` in front."""
    first = spec.split("+", 1)[0].strip()
    return spec if first == "delta" else "+".join(stage for stage in ("delta", spec.strip()) if stage)
