"""Targets: labels as indices of the classes that all sites agreed on, quantities in the standard deviations of all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .moments import IncompatibleSites
from .plugins import listed

Label: TypeAlias = int | float | str


class Targets:
    """The half of a preprocessing that is about targets; who inherits it has these fields.

    `classes` is every label that any site has, sorted, or None for regression, whose targets are centered and scaled
    by `target_center` and `target_scale`. `class_weights` is how much a row of each class counts in training, None
    where all count the same. `model_shape` is what a model's own questions have settled of its arrays, None where
    their sizes follow from columns and classes.
    """

    classes: tuple[Label, ...] | None
    class_weights: tuple[float, ...] | None
    model_shape: Mapping[str, int] | None
    target_center: float
    target_scale: float

    @property
    def n_classes(self) -> int | None:
        return None if self.classes is None else len(self.classes)

    @property
    def task(self) -> Literal["classification", "regression"]:
        return "regression" if self.classes is None else "classification"

    def check_targets(self) -> None:
        """Raise IncompatibleSites for classes or a scale that no sites could have agreed on."""
        if not (np.isfinite(self.target_center) and np.isfinite(self.target_scale)):
            raise IncompatibleSites("preprocessing with a center or a scale that is not finite")
        if self.target_scale <= 0:
            raise IncompatibleSites("preprocessing with a scale or a clip that is not above 0")
        if self.classes is not None and (list(self.classes) != sorted(set(self.classes)) or len(self.classes) < 2):
            raise IncompatibleSites("the classes of preprocessing must be two or more, sorted, each once")
        if self.class_weights is not None and (
            len(self.class_weights) != len(self.classes or ())
            or not all(math.isfinite(weight) and weight > 0 for weight in self.class_weights)
        ):
            raise IncompatibleSites("the class weights of preprocessing must be a finite number above 0 for each class")

    def optional(self) -> dict[str, Any]:
        """Return class weights and the model's shape as plain values, nothing where there are none."""
        found: dict[str, Any] = {} if self.class_weights is None else {"class_weights": list(self.class_weights)}
        return found if self.model_shape is None else found | {"model_shape": dict(self.model_shape)}

    def encode(self, y: ArrayLike) -> NDArray[Any]:
        """Return class indices (int64) for labels, or scaled targets (float64) for raw ones.

        Raises ValueError for a label that was not agreed, naming it.
        """
        values = np.asarray(y)
        if self.classes is None:
            if values.dtype.kind not in "biuf":
                raise ValueError(f"targets of type {values.dtype}; agreed was regression, which needs numbers")
            scaled: NDArray[Any] = (values.astype(np.float64) - self.target_center) / self.target_scale
            return scaled
        return class_indices(values, self.classes)

    def decode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the original labels for class indices, or targets in their own units (float64) for scaled ones."""
        if self.classes is None:
            targets: NDArray[Any] = values.astype(np.float64) * self.target_scale + self.target_center
            return targets
        labels: NDArray[Any] = np.array(self.classes)[values]
        return labels


def weights_in(fields: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Return the class weights of a preprocessing's plain values, None where there are none."""
    weights = fields.get("class_weights")
    return None if weights is None else tuple(float(weight) for weight in weights)


def shape_in(fields: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the model's shape in a preprocessing's plain values, None where there is none."""
    shape = fields.get("model_shape")
    if shape is None:
        return None
    if not isinstance(shape, Mapping) or not all(type(size) is int and size >= 0 for size in shape.values()):
        raise IncompatibleSites(f"a model's shape is a map of names to whole numbers, found {str(shape)[:60]}")
    return {str(name): size for name, size in shape.items()}


def checked_classes(labels: object) -> tuple[Label, ...]:
    """Return a sorted list of distinct labels, all numbers or all text, as a tuple, or raise IncompatibleSites."""
    if not isinstance(labels, list | tuple) or not labels:
        raise IncompatibleSites("classes must be a list of one or more labels")
    numbers = all(isinstance(label, int | float) and not isinstance(label, bool) for label in labels)
    if not numbers and not all(isinstance(label, str) for label in labels):
        raise IncompatibleSites(f"classes must be all numbers or all text, found {listed(labels)}")
    if numbers and not all(abs(label) <= 2**63 - 1 for label in labels):
        raise IncompatibleSites(f"classes must be numbers below 2**63, found {listed(labels)}")
    if list(labels) != sorted(set(labels)):
        raise IncompatibleSites(f"classes must be sorted, each once, found {listed(labels)}")
    return tuple(labels)


def class_indices(values: NDArray[Any], classes: Sequence[Label]) -> NDArray[np.int64]:
    """Return the place of each label among sorted classes. Raises ValueError for one that is none of them."""
    known = np.array(classes)
    if (known.dtype.kind == "U") != (values.dtype.kind in "UO"):
        raise ValueError(f"labels of type {values.dtype}; the agreed classes are {listed(classes)}")
    if values.dtype.kind == "O":
        values = values.astype(np.str_)
    index = np.searchsorted(known, values).clip(max=len(known) - 1)
    unknown = np.flatnonzero(known[index] != values)
    if len(unknown):
        raise ValueError(f"label {values[unknown[0]]!s} is unknown; the agreed classes are {listed(classes)}")
    return index.astype(np.int64)
