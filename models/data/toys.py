"""The small data sets that come with scikit-learn, read from its packaged files without importing it.

Importing scikit-learn takes seconds and 120 MB; the files are a few kilobytes. The values are those of its own loaders.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .data import DataError, Dataset

_IRIS = tuple(f"{part} {extent} (cm)" for part in ("sepal", "petal") for extent in ("length", "width"))
_WINE = (
    "alcohol malic_acid ash alcalinity_of_ash magnesium total_phenols flavanoids nonflavanoid_phenols "
    "proanthocyanins color_intensity hue od280/od315_of_diluted_wines proline"
)
_CELL = "radius,texture,perimeter,area,smoothness,compactness,concavity,concave points,symmetry,fractal dimension"
_BREAST_CANCER = (
    *(f"mean {trait}" for trait in _CELL.split(",")),
    *(f"{trait} error" for trait in _CELL.split(",")),
    *(f"worst {trait}" for trait in _CELL.split(",")),
)

COLUMNS: dict[str, tuple[str, ...]] = {
    "iris": _IRIS,
    "wine": tuple(_WINE.split()),
    "breast_cancer": _BREAST_CANCER,
    "digits": tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
    "diabetes": ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
}
"""The data sets there are, with the names of their columns."""

_CLASSES = {
    "iris": ("iris.csv", 1),
    "wine": ("wine_data.csv", 1),
    "breast_cancer": ("breast_cancer.csv", 1),
    "digits": ("digits.csv.gz", 0),
}
"""For classification: the file, and its lines before the first row."""


def load_toy(name: str) -> Dataset:
    """Return one of `COLUMNS`; the targets are scikit-learn's (class numbers, or the progression of diabetes).

    Raises DataError when scikit-learn's files are not where its installation should have put them.
    """
    if name == "diabetes":
        X = _unit_columns(_read("diabetes_data_raw.csv.gz", delimiter=None))
        y = _read("diabetes_target.csv.gz", delimiter=None).ravel()
        return Dataset(name, X, y, COLUMNS[name], "regression")
    if name not in _CLASSES:
        raise DataError(f"no packaged data set {name!r}; there are: {', '.join(COLUMNS)}")
    file, skip = _CLASSES[name]
    table = _read(file, skip=skip)
    X, labels = np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64)
    return Dataset(name, X, labels, COLUMNS[name], "classification")


def _unit_columns(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns centered and with a sum of squares of 1, in scikit-learn's order of operations."""
    spread = raw.std(axis=0)
    X: NDArray[np.float64] = (raw - raw.mean(axis=0)) / spread
    X /= len(X) ** 0.5
    return X


def _read(file: str, *, skip: int = 0, delimiter: str | None = ",") -> NDArray[np.float64]:
    spec = importlib.util.find_spec("sklearn")
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / "datasets" / "data" / file
        if path.is_file():
            table: NDArray[np.float64] = np.loadtxt(path, delimiter=delimiter, skiprows=skip, ndmin=2)
            return table
    raise DataError(f"{file} is missing from scikit-learn's installation ({', '.join(folders) or 'not installed'})")
