"""Packages that only some uses need, each with the extra of this distribution that brings it, or by itself."""

from __future__ import annotations

from importlib.util import find_spec

EXTRAS = {
    "distributed": "dask",
    "matplotlib": "plot",
    "mlflow": "mlflow",
    "networkx": "launch",
    "opentelemetry": "opentelemetry",
    "prometheus_client": "metrics",
    "pyarrow": "tables",
    "rich": "launch",
    "skops": "launch",
    "tensorboardX": "tensorboard",
    "torch": "torch",
    "wandb": "wandb",
}


class MissingExtra(ImportError):
    """A package that this use needs is not installed; the message has the command that installs it."""


def installed(package: str) -> bool:
    return find_spec(package) is not None


def how_to_install(package: str) -> str:
    """Return what to say of a package that is not there: that it is not, and the command that installs it."""
    wanted = f'"nervenet[{EXTRAS[package]}]"' if package in EXTRAS else package
    return f"{package} is not installed: pip install {wanted}"


def require(what: str, *packages: str) -> None:
    """Raise `MissingExtra` for the first of the packages that is not there; `what` needs it."""
    for package in packages:
        if not installed(package):
            raise MissingExtra(f"{what} needs {package}; {how_to_install(package)}")
