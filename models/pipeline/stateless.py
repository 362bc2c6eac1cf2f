"""Steps that learn nothing from rows but how many columns there are."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..agreement.questions import Questions
from .step import Asked, ExactStep, State


class _Stateless:
    """Fitted by scikit-learn itself, on a row of zeros."""

    def refusal(self, step: Any) -> str | None:
        parameters = step.get_params(deep=False)
        if "random_state" in parameters and not isinstance(parameters["random_state"], int):
            return "random_state must be a whole number, so that all sites draw the same"
        if parameters.get("n_components") == "auto":
            return "n_components='auto' has no exact merge; take a number"
        if parameters.get("gamma") == "scale":
            return "gamma='scale' has no exact merge; take a number"
        return None

    def questions(self, step: Any, asked: Asked) -> Questions[State]:
        return {}
        yield {}  # a dialog without questions

    def restore(self, step: Any, state: State, width: int) -> Any:
        step.fit(np.zeros((1, width)))
        return step


class _Function(_Stateless):
    """Nothing is called: a function may not like zeros."""

    def restore(self, step: Any, state: State, width: int) -> Any:
        step.n_features_in_ = width
        return step


class _Words(_Stateless):
    """Takes texts, and keeps nothing at all."""

    def refusal(self, step: Any) -> str | None:
        if getattr(step, "input", "content") != "content":  # a cell, be it of a request, would name a file to open
            return "input must be 'content': cells are texts, and name no files"
        return super().refusal(step)

    def restore(self, step: Any, state: State, width: int) -> Any:
        return step


_BY_WIDTH = (
    "Normalizer Binarizer PolynomialFeatures AdditiveChi2Sampler RBFSampler SkewedChi2Sampler PolynomialCountSketch "
    "GaussianRandomProjection SparseRandomProjection"
)

FAMILY: dict[str, ExactStep] = {
    **dict.fromkeys(_BY_WIDTH.split(), _Stateless()),
    "FunctionTransformer": _Function(),
    **dict.fromkeys(("HashingVectorizer", "FeatureHasher"), _Words()),
}
