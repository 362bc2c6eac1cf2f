"""SGDOneClassSVM: a boundary around the rows of all sites, averaged as SGDClassifier is; it has no target."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..model import Capability
from ..weights import Array
from .sgd import SGDAdapter


class OneClassAdapter(SGDAdapter):
    """SGDOneClassSVM: w and ρ of <w, x> = ρ, by the primal objective of Schölkopf et al. 2001, equation 3."""

    classifies = None
    has_target: ClassVar[bool] = False
    capabilities = frozenset[Capability]({"sample_weight"})

    def see_one_row(self) -> None:
        """Show `working` one row of zeros, so that it makes its arrays."""
        self.working.partial_fit(np.zeros((1, self.n_features)))

    def read(self) -> dict[str, Array]:
        return {"coef": self.working.coef_, "offset": self.working.offset_}

    def write(self, arrays: dict[str, Array]) -> None:
        self.working.coef_, self.working.offset_ = arrays["coef"], arrays["offset"]

    def rates(self, t: float, rows: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Raise RuntimeError: no correction is split off, which alone asks for the rates."""
        raise RuntimeError(f"{self.name} takes no correction")

    def predict(self, X: Array) -> Array:
        """Return 1 for a row within the boundary and -1 for one without, int64."""
        return np.where(self._margins(X) >= 0, 1, -1)

    def probabilities(self, X: Array) -> Any:  # noqa: ARG002
        """Return None: there are no classes."""
        return None

    def row_losses(self, X: Array) -> Array:
        """Return how far each row is outside, shape (rows,): max(0, ρ - <w, x>)."""
        return np.maximum(0.0, -self._margins(X))

    def _margins(self, X: Array) -> Array:
        with np.errstate(all="ignore"):
            margins: Array = self.checked(X) @ self.working.coef_.ravel() - self.working.offset_
        return margins
