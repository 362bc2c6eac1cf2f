"""What a client sends after one round of training."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LocalResult:
    # What is sent: (parts * size,) floats, or bytes (uint8) where there is an `encoding`. None if `cancelled`.
    vector: NDArray[Any] | None
    encoding: str  # spec of the codec; empty: none
    # Names of the parts of `vector`, each as long as the weights; the first is a difference to the received weights
    # where the codec is relative.
    parts: tuple[str, ...]
    examples: int  # rows trained on
    # loss, steps; fednova_normalizer where there is one (see `fednova`); as asked for probe_loss and personal_loss;
    # partial is 1 if it was stopped early; with an encoding raw_bytes, sent_bytes and codec_error, the norm of what
    # encoding changed, relative to that of what was encoded. None of them is NaN or infinite.
    metrics: dict[str, float] = field(default_factory=dict)
    clock: float = 0.0  # how far the model's learning-rate schedule has come
    cancelled: bool = False  # stopped with nothing to send; the client's state is then what it was before
