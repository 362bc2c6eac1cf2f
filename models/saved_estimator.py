"""model.skops, read: nothing is made but types that are known, and only by the scikit-learn that wrote it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .artifact import ModelFileError, skops_content
from .extras import require
from .versions import SKLEARN, same_release

ALLOWED = frozenset({f"numpy.{name}" for name in ("asarray", "clip", "cos", "dot", "dtype", "positive", "sin")})
"""What pipelines that are written here hold beside the types of scikit-learn's that skops itself trusts."""


def load_estimator(path: str | Path, *, trusted: Sequence[str] = ()) -> Any:
    """Return the fitted scikit-learn object of a saved model: from raw inputs to the original labels or quantities.

    Parameters
    ----------
    path
        A run folder, model.skops or another file of a saved model, or any file of that kind.
    trusted
        Names of further types to be made, such as a function of a pipeline of your own: look at them before.

    Raises
    ------
    ModelFileError
        The file is missing or damaged, differs from what model.json beside it says, holds a type that is not allowed,
        by its name, or was written with another release of scikit-learn, whose estimators may keep other attributes:
        `load_model` reads the same weights with any.
    MissingExtra
        skops is not installed.
    """
    require("load_estimator", "skops")
    file, content = skops_content(path)
    from sklearn.exceptions import InconsistentVersionWarning
    from skops.io import get_untrusted_types, loads

    try:
        found = sorted(get_untrusted_types(data=content))
        strangers = [name for name in found if name not in ALLOWED and name not in trusted]
        if strangers:
            raise ModelFileError(
                f"{file}: holds {', '.join(strangers)}, expected nothing but scikit-learn's own types and "
                f"{', '.join(sorted(ALLOWED))}; name it as trusted, if you know it and the file"
            )
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            estimator = loads(content, trusted=found)
    except ModelFileError:
        raise
    except Exception as error:  # whatever a damaged archive makes of its readers
        raise ModelFileError(f"{file}: is no skops file, or damaged ({type(error).__name__}: {error})") from error
    for each in noted:
        told = each.message
        if not isinstance(told, InconsistentVersionWarning):
            warnings.warn(told, stacklevel=2)
        elif not same_release(told.original_sklearn_version, told.current_sklearn_version):
            raise ModelFileError(
                f"{file}: was written with {SKLEARN} {told.original_sklearn_version}, found here is "
                f"{told.current_sklearn_version}: an estimator's own attributes differ from release to release; "
                f"install {SKLEARN} {told.original_sklearn_version}, or take load_model, which reads the weights alone"
            )
    return estimator
