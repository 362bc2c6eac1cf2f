"""mnist and fashion_mnist: from the folder NERVENET_DATA, else from the cache, else downloaded once by scikit-learn."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data import DataError, Dataset
from .idx import read_idx, write_idx

OPENML_NAMES = {"mnist": "mnist_784", "fashion_mnist": "Fashion-MNIST"}
"""The data sets there are, by what OpenML calls them (version 1 of each)."""

_FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


def cache_folder() -> Path:
    """Return the folder for what can be fetched again."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "nervenet"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "nervenet"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "nervenet"


def load_images(name: str) -> Dataset:
    """Return mnist or fashion_mnist with its published split: pixels divided by 255, float32, labels 0 to 9.

    Looks for the four gzipped IDX files in the folder `name` under ``NERVENET_DATA``, then under `cache_folder`; else
    asks scikit-learn's `fetch_openml`, and keeps what it got in the cache.
    Raises DataError when a file is damaged, or when there are none and the download failed too.
    """
    places = [cache_folder() / name]
    if given := os.environ.get("NERVENET_DATA"):
        places.insert(0, Path(given) / name)
    for place in places:
        if all((place / file).is_file() for file in _FILES):
            return _read(name, place)
    _download(name, places)
    return _read(name, places[-1])


def _read(name: str, folder: Path) -> Dataset:
    train, test = (_part(name, folder / _FILES[first], folder / _FILES[first + 1]) for first in (0, 2))
    if test.columns != train.columns:
        raise DataError(f"{folder}: training images have {len(train.columns)} pixels, test images {len(test.columns)}")
    return Dataset(name, train.X, train.y, train.columns, "classification", test=test)


def _part(name: str, images: Path, labels: Path) -> Dataset:
    pixels, y = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(y):
        raise DataError(f"{images} has {len(pixels)} images, {labels.name} has {len(y)} labels")
    _, height, width = pixels.shape
    X = np.divide(pixels.reshape(len(pixels), height * width), 255, dtype=np.float32)
    columns = tuple(f"pixel_{row}_{column}" for row in range(height) for column in range(width))
    return Dataset(name, X, y.astype(np.int64), columns, "classification")


def _download(name: str, places: list[Path]) -> None:
    from sklearn.datasets import fetch_openml

    try:
        found = fetch_openml(OPENML_NAMES[name], version=1, as_frame=False, parser="liac-arff")
    except (OSError, ValueError) as error:
        looked = " nor in ".join(str(place) for place in places)
        raise DataError(
            f"{name} is neither in {looked}, and the download failed ({error}). Put the files "
            f"{', '.join(_FILES)} into a folder {name} and set NERVENET_DATA to the folder that holds it"
        ) from error
    _keep(places[-1], found.data, found.target)


def _keep(folder: Path, data: NDArray[Any], target: NDArray[Any]) -> None:
    """Write a download as IDX files: OpenML lists the training images first, and six of seven are for training."""
    side = round(data.shape[1] ** 0.5)
    pixels = data.astype(np.uint8).reshape(len(data), side, side)
    labels = target.astype(np.uint8)
    edge = len(data) * 6 // 7
    contents = (pixels[:edge], labels[:edge], pixels[edge:], labels[edge:])
    folder.mkdir(parents=True, exist_ok=True)
    # Renamed into place whole, so that a second process never reads half a file.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        for file, content in zip(_FILES, contents, strict=True):
            write_idx(Path(scratch) / file, content)
            (Path(scratch) / file).replace(folder / file)
