"""Which versions wrote a model, and whether those here read it alike."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import nervenet

SKLEARN = "scikit-learn"


class OtherVersion(UserWarning):
    """A file was written with another version of a package than the one that reads it."""


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of this package, of Python, and of the packages that are installed."""
    found = {"nervenet": str(getattr(nervenet, "__version__", "")), "python": platform.python_version()}
    return found | {package: known for package in packages if (known := installed_version(package))}


def installed_version(package: str) -> str:
    """Return the version of a package, without importing it; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def same_release(one: str, other: str) -> bool:
    """Return whether two versions differ in their last part alone, as 1.5.0 and 1.5.2 do."""
    return one.split(".")[:2] == other.split(".")[:2]


def checked_versions(fields: object) -> dict[str, str]:
    """Return the versions that a file tells; TypeError where they are none."""
    if not isinstance(fields, Mapping) or not all(isinstance(each, str) for pair in fields.items() for each in pair):
        raise TypeError("versions must be a version by each package")
    known: Mapping[Any, Any] = fields
    return dict(known)
