"""Methods that an estimator of ours has only where the estimator inside has them."""

from __future__ import annotations

from typing import Any

from sklearn.utils.metaestimators import available_if


def if_inner_has(method: str) -> Any:
    """Return a decorator of a method that is there where the inner estimator, fitted or given, has one of that name."""

    def check(self: Any) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), method)  # says which attribute is not there
        return True

    return available_if(check)
