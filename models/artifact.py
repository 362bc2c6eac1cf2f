"""A model on disk: model.safetensors for the weights, model.json for all that gives them a meaning, a card to read."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from .atomic_file import replacing
from .coefficients import coefficient_table
from .model import CannotMerge, Model
from .model_card import model_card
from .moments import IncompatibleSites
from .registry import describe, rebuild
from .site_model import SiteModel
from .sklearn.skops_file import export
from .table_preprocessing import AnyPreprocessing, preprocessing_of
from .versions import SKLEARN, OtherVersion, checked_versions, installed_version, same_release, versions
from .weights import IncompatibleWeights, Layout, Vector
from .weights_file import plain_weights, write_weights

FORMAT = 1
"""Of model.json: counts up when an older reader would misread a newer file."""

STEM = "model"
SUFFIXES = (".safetensors", ".json", ".skops")


CLOCK = "clock"
"""Among the `extra` facts: how far the learning-rate schedule of the weights has come; absent where there is none."""


class ModelFileError(ValueError):
    """A model's file is missing, damaged or newer than this program; the message names it and what was found."""


def save_model(
    folder: str | Path,
    model: Model | SiteModel,
    preprocessing: AnyPreprocessing | None = None,
    vector: Vector | None = None,
    extra: Mapping[str, Any] | None = None,
    *,
    stem: str = STEM,
) -> None:
    """Write a model into a folder, each file whole or not at all. The same arguments give the same bytes.

    Parameters
    ----------
    folder
        Made if it is missing. Gets model.safetensors, model.json, which has a `coefficient_table` if there is one, and
        model_card.md; for a scikit-learn estimator also model.skops, a fitted estimator that takes raw inputs and needs
        nothing of this package.
    model
        Built; its own weights are neither used, where there is a `vector`, nor changed. Of a class of your own, too.
    preprocessing
        What the sites agreed on; by default that of a `SiteModel`, such as the `model` of a node.
    vector
        The weights to save; by default the model's own.
    extra
        Further JSON-able facts, such as round and metrics; figures that are not finite become null. `clock` is how far
        the learning-rate schedule has come: by default that of a `SiteModel`, where it has one.
    stem
        Of the files' names: several models may share a folder.

    Raises
    ------
    TypeError
        For a bare model without preprocessing, which alone gives its numbers a meaning.
    RuntimeError
        For a model that is not built yet.
    IncompatibleWeights
        The vector does not fit the model's layout, or is not finite.
    """
    if isinstance(model, SiteModel):
        preprocessing = preprocessing or model.preprocessing
        if model.clock:
            extra = {CLOCK: model.clock, **(extra or {})}
        model = model.model
    if preprocessing is None:
        raise TypeError(f"{type(model).__name__} is saved with its preprocessing; a SiteModel brings its own")
    folder = Path(folder)
    vector = model.get_weights() if vector is None else vector
    model.layout.check(vector)
    skops, note = export(model, preprocessing, vector)
    description: dict[str, Any] = {
        "format": FORMAT,
        "rule": "mean",
        "layout": model.layout.to_dict(),
        "model": describe(model),
        "agreement": preprocessing.to_dict(),
        "weights": {"file": f"{stem}.safetensors"},
        "skops": note,
        "versions": versions("numpy", "safetensors", *(() if skops is None else (SKLEARN, "skops"))),
        "extra": _finite(extra or {}),
    }
    if (table := coefficient_table(model, preprocessing, vector)) is not None:
        description["inference"] = table
    description["weights"]["blake2b"] = save_weights(folder / f"{stem}.safetensors", model.layout, vector)
    if skops is not None:
        description["estimator"] = {"file": f"{stem}.skops", "blake2b": _digest(skops)}
        _write(folder / f"{stem}.skops", skops)
    description["blake2b"] = _own_digest(description)
    _write(folder / f"{stem}.json", (json.dumps(description, indent=1, allow_nan=False) + "\n").encode())
    facts = dict(description["extra"])
    _write(folder / f"{stem}_card.md", model_card(description, stem, facts, facts.pop("metrics", None) or {}).encode())


def write_card(path: str | Path, trained: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Write the card of a saved model anew, with more that is known of it: see `model_card.model_card`.

    Raises ModelFileError like `load_model`.
    """
    described = _files(Path(path))[0]
    card = model_card(_description(described), described.stem, _finite(trained), _finite(figures))
    _write(described.with_name(f"{described.stem}_card.md"), card.encode())


def save_weights(path: Path, layout: Layout, vector: Vector) -> str:
    """Write weights alone, as safetensors, and return the digest of the file, which is whole or not there at all.

    Its folder is made if it is missing. Raises IncompatibleWeights when the vector does not fit the layout, or is not
    finite.
    """
    layout.check(vector)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_weights(path, layout, vector)


def load_model(path: str | Path, *, model: object = None) -> SiteModel:
    """Return a saved model, ready to predict from raw inputs, without rows of its own.

    Parameters
    ----------
    path
        A folder that `save_model` wrote, or one of its files.
    model
        For a model of a class of your own: the class, its import path ``module:Class``, or an instance. It is not
        imported because a file says so.

    Raises
    ------
    ModelFileError
        A file is missing, damaged, of a newer format, or the two do not belong together; or the model is of a class of
        your own, and `model` is not given.
    """
    saved = read_model(path)
    _warn_of_versions(saved)
    try:
        site_model = SiteModel(rebuild(saved.model, model))
        built = site_model.build(saved.preprocessing, seed=0)
        if built.hash == saved.layout.hash:
            site_model.set_weights(saved.weights)
    except (IncompatibleSites, CannotMerge, ValueError, TypeError) as error:
        raise ModelFileError(f"{saved.path}: {error}") from error
    if built.hash != saved.layout.hash:
        raise ModelFileError(
            f"{saved.path}: layout {saved.layout.hash} is not that of the model it describes, {built.hash}"
        )
    site_model.clock = saved.clock
    return site_model


def _warn_of_versions(saved: SavedModel) -> None:
    """Warn of another scikit-learn: the weights mean the same to it, but an estimator's defaults may have changed."""
    written, here = saved.versions.get(SKLEARN, ""), installed_version(SKLEARN)
    if written and here and not same_release(written, here):
        warnings.warn(
            f"{saved.path}: was written with {SKLEARN} {written}, and read with {here}: its weights are the same, but "
            "what an estimator does with them may differ",
            OtherVersion,
            stacklevel=3,
        )


@dataclass(frozen=True, eq=False)
class SavedModel:
    """What the files of a model hold, before a model is made of it."""

    path: Path  # of the description
    model: Mapping[str, Any]  # name and parameters
    layout: Layout
    preprocessing: AnyPreprocessing
    weights: Vector
    clock: float  # how far its learning-rate schedule has come; 0 where it has none
    versions: Mapping[str, str]  # of the packages that wrote it


def read_model(path: str | Path) -> SavedModel:
    """Return what is saved in a folder, or by one of its files, and make no model of it.

    Raises ModelFileError like `load_model`.
    """
    described, weights = _files(Path(path))
    fields = _description(described)
    try:
        layout, digest = Layout.from_dict(fields["layout"]), fields["weights"]["blake2b"]
        preprocessing = preprocessing_of(fields["agreement"])
        clock = float(_extra(fields).get(CLOCK) or 0.0)
        if not (math.isfinite(clock) and clock >= 0):
            raise ModelFileError(f"{described}: {CLOCK} must be a number of at least 0, found {clock}")
        vector, told = _vector(weights, layout, digest), checked_versions(fields["versions"])
        return SavedModel(described, fields["model"], layout, preprocessing, vector, clock, told)
    except KeyError as error:
        raise ModelFileError(f"{described}: has no {error}") from error
    except ModelFileError:
        raise
    except (IncompatibleSites, IncompatibleWeights, ValueError, TypeError) as error:
        raise ModelFileError(f"{described}: {error}") from error


def digest_of(path: str | Path) -> str:
    """Return a text that is the same for the same saved model wherever it lies; reads its description alone."""
    described = _files(Path(path))[0]
    fields = _description(described)
    try:
        same = [fields["weights"]["blake2b"], fields["agreement"], _extra(fields).get(CLOCK)]
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{described}: has no {error}") from error
    return _digest(json.dumps(same, sort_keys=True).encode())


def skops_content(path: str | Path) -> tuple[Path, bytes]:
    """Return the skops file of a saved model, and its content, which is that of which the description beside it tells.

    A file of which none tells, such as one that was exported, is taken as it is. Raises ModelFileError like
    `load_model`.
    """
    described = _files(Path(path))[0]
    file = described.with_suffix(".skops")
    estimator = _description(described).get("estimator") if described.exists() else None
    if not isinstance(estimator, dict):
        return file, _read(file)
    return file, _checked(file, str(estimator.get("blake2b")))


def read_extra(path: str | Path) -> dict[str, Any]:
    """Return the `extra` facts that were saved with a model. Raises ModelFileError like `load_model`."""
    return _extra(_description(_files(Path(path))[0]))


def _extra(fields: Mapping[str, Any]) -> dict[str, Any]:
    extra = fields.get("extra")
    return dict(extra) if isinstance(extra, dict) else {}


def _files(path: Path) -> tuple[Path, Path]:
    """Return the paths of description and weights that belong to a folder or to one of its files."""
    if path.is_dir():
        base = path / STEM
        if not any(base.with_suffix(suffix).exists() for suffix in SUFFIXES):
            raise ModelFileError(
                f"{path}: holds no model; expected {STEM}.json and {STEM}.safetensors, as a run leaves them"
            )
    elif path.suffix in SUFFIXES:
        base = path.with_suffix("")
    elif path.exists():
        raise ModelFileError(f"{path}: not a model; expected a folder, or a file ending in {', '.join(SUFFIXES)}")
    else:
        raise ModelFileError(f"{path}: no such file or folder")
    return base.with_name(f"{base.name}.json"), base.with_name(f"{base.name}.safetensors")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error})") from error


def _description(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(_read(path))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelFileError(f"{path}: not JSON ({error})") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), int):
        raise ModelFileError(f"{path}: not the description of a model: no format number")
    if fields["format"] != FORMAT:
        by = (fields.get("versions") or {}).get("nervenet") if isinstance(fields.get("versions"), dict) else None
        written = f", written by nervenet {by}" if isinstance(by, str) else ""
        raise ModelFileError(f"{path}: is of format {fields['format']}{written}; this version reads format {FORMAT}")
    if (found := _own_digest(fields)) != fields.get("blake2b"):
        raise ModelFileError(
            f"{path}: was changed since it was written: its digest is {found}, expected {fields.get('blake2b')!s:.64}"
        )
    return fields


def _own_digest(fields: Mapping[str, Any]) -> str:
    """Return the digest of a description, of all that it says but that itself, whatever order it stands in."""
    rest = json.loads(json.dumps({key: value for key, value in fields.items() if key != "blake2b"}))
    return _digest(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())


def _vector(path: Path, layout: Layout, digest: str) -> Vector:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = _checked(path, digest)
    try:
        vector = plain_weights(content, layout)
        if vector is not None:  # as this version writes it: nothing is copied
            layout.check(vector)
            return vector
        arrays = load(content)
        vector = np.empty(layout.size, layout.dtype)
        for name, view in layout.views(vector).items():
            if arrays[name].shape != view.shape or arrays[name].dtype != view.dtype:
                raise ModelFileError(f"{path}: {name} is {arrays[name].dtype} {arrays[name].shape}, not {view.shape}")
            view[...] = arrays[name]
        layout.check(vector)
    except KeyError as error:
        raise ModelFileError(f"{path}: has no array {error}") from error
    except (SafetensorError, IncompatibleWeights) as error:
        raise ModelFileError(f"{path}: {error}") from error
    return vector


def _checked(path: Path, digest: str) -> bytes:
    """Return the content of a file whose digest is known. Raises ModelFileError for another one."""
    content = _read(path)
    if (found := _digest(content)) != digest:
        raise ModelFileError(
            f"{path}: is damaged, or belongs to another {path.stem}.json: its digest is {found} "
            f"({len(content):,} bytes), expected {digest!s:.64}"
        )
    return content


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _finite(value: Any) -> Any:
    """Return a value with None, which JSON has, for NaN and infinities."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case np.generic():
            return _finite(value.item())
        case Mapping():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
    return value
