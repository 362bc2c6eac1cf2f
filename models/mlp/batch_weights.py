"""Row weights in the mini-batches of one epoch after another."""

import numpy as np

from ..weights import Array


class BatchWeights:
    """The factors of each batch's gradient and L2 term, for rows that differ in how much they count.

    As in scikit-learn's networks (1.7 and later) the gradient of a batch is Σ w_i g_i / Σ w_i, and the penalty is
    divided by the same sum: a factor on all weights changes the penalty alone, and a batch of one row is that row
    whatever its weight. But the penalty is never divided by less than the mean weight of all rows, as it never is by
    less than one row without weights: else a batch of light rows alone would shrink the network to nothing, or beyond.

    Parameters
    ----------
    weight : (n,) array of float64, above 0
    rows : int
        Of a batch; the last may be smaller.
    gain, l2 : float
        The optimizer's factor on gradients; λ.
    dtype
        Of the network.
    """

    def __init__(self, weight: Array, rows: int, gain: float, l2: float, dtype: str) -> None:
        n = len(weight)
        self._weight, self._gain, self._l2, self._least = weight, gain, l2, float(weight.mean())
        self._starts = np.arange(0, n, rows)
        self._lengths = np.diff(np.append(self._starts, n))
        self._scales, self._decays = np.empty((n, 1), dtype), np.empty(len(self._starts), dtype)
        self.shuffled = np.empty_like(weight)
        # Views, which `shuffle` fills: of each batch the column of its rows' factors, and a 0-d array.
        self.batches = [
            (self._scales[start : start + rows], self._decays[k : k + 1].reshape(()))
            for k, start in enumerate(self._starts.tolist())
        ]

    def shuffle(self, order: Array) -> None:
        """Set all factors for an epoch whose rows come in this order."""
        np.take(self._weight, order, out=self.shuffled, mode="clip")
        sums = np.add.reduceat(self.shuffled, self._starts)
        self._scales[:, 0] = self.shuffled * (self._gain / np.repeat(sums, self._lengths))
        self._decays[:] = self._gain * self._l2 / np.maximum(sums, self._least)
