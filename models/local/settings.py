"""LocalSettings: what a task may ask of a client's training, and which models can do it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import isfinite
from typing import Any

from ..model import Capability, LocalUnsupported, LocalWork, Model
from ..registry import models_with


@dataclass(frozen=True)
class LocalSettings(LocalWork):
    """How a client trains in one round, see `model.LocalWork`, and what it sends.

    Attributes
    ----------
    control : bool
        SCAFFOLD: what arrives is the weights and the server's control variate c, what is sent is the weights and the
        change of this client's own (Karimireddy et al. 2020). It needs momentum that starts at zero, and so no
        `carry_optimizer`.
    probe : bool
        Report ``probe_loss``, the mean loss of the received weights over the training rows, as q-FedAvg wants it.
    personal : tuple of str
        FedPer: arrays of the layout that stay local, by name or by the part of it before a dot: ``weight.1``, ``bias``.
    ditto : float
        λ of Ditto, at least 0: with more than 0 a second model, of this client alone, is trained towards the received
        weights (Li et al. 2021). Not together with `personal`.
    partial : bool
        A training that is stopped early reports what it has, if it has done a step.
    encoding : str
        Spec of the codec for what is sent, see `compress.parse`; empty: as it is.

    Raises ValueError: a value that is not allowed.
    """

    control: bool = False
    probe: bool = False
    personal: tuple[str, ...] = ()
    ditto: float = 0.0
    partial: bool = False
    encoding: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isfinite(self.ditto) and self.ditto >= 0):
            raise ValueError(f"ditto must be a number of at least 0, found {self.ditto}")
        if self.control and self.carry_optimizer:
            raise ValueError("control takes an update for a sum of this round's gradients: carry_optimizer must be off")
        if self.personal and self.ditto:
            raise ValueError("personal and ditto both make a model of this client's own: one of them is allowed")

    @property
    def parts(self) -> tuple[str, ...]:
        """What follows one another in the vectors received and sent, each as long as the weights."""
        return ("weights", "control") if self.control else ("weights",)

    def work(self, proximal: float, *, carry: bool = True) -> LocalWork:
        """Return how much to train; `carry` False: from fresh moments whatever the settings."""
        carried = self.carry_optimizer and carry
        return LocalWork(self.epochs, self.local_steps, self.batch_size, carried, proximal, self.learning_rate)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "LocalSettings":
        """Return the settings that a task's dictionary holds.

        Raises ValueError: an unknown key, with a near one and all that are allowed, or a value of the wrong kind.
        """
        kinds = {field.name: _KINDS[field.type] for field in fields(cls)}
        given = {}
        for name, value in settings.items():
            if name not in kinds:
                near = get_close_matches(str(name), kinds, n=1)
                hint = f"; did you mean {near[0]}?" if near else "."
                raise ValueError(f"a task has no setting {name!r}{hint} Allowed are {', '.join(kinds)}")
            types, words = kinds[name]
            if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
                raise ValueError(f"{name} must be {words}, found {value!r}")
            given[name] = value
        names = given.get("personal", ())
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"personal must be a list of names, found {names!r}")
        return cls(**given | {"personal": tuple(names)})


# By a field's type: what its value may be, in Python's types and in words.
_KINDS: dict[Any, tuple[Any, str]] = {
    int: (int, "a whole number"),
    int | None: (int | None, "a whole number or nothing"),
    bool: (bool, "true or false"),
    float: (int | float, "a number"),
    float | None: (int | float | None, "a number or nothing"),
    str: (str, "text"),
    tuple[str, ...]: (list | tuple, "a list of names"),
}


def check_support(model: Model, settings: LocalSettings) -> None:
    """Raise LocalUnsupported for settings that this model's training cannot follow. Says which models can."""
    capabilities: frozenset[Capability] = getattr(model, "capabilities", frozenset())
    checks: tuple[tuple[object, Capability, str], ...] = (
        (
            settings.proximal,
            "proximal",
            "proximal > 0 adds a proximal term to every gradient, and this model takes none",
        ),
        (settings.ditto, "proximal", "ditto > 0 adds a proximal term to every gradient, and this model takes none"),
        (settings.ditto, "correction", "ditto > 0 adds a correction term to every gradient, and this model takes none"),
        (
            settings.control,
            "correction",
            "control (SCAFFOLD) adds a correction to every gradient, and this model takes none",
        ),
        (
            settings.control,
            "fednova_normalizer",
            "control (SCAFFOLD) needs updates that are sums of gradients: optimizer sgd, momentum or nesterov",
        ),
    )
    for asked, needed, why in checks:
        if asked and needed not in capabilities:
            raise LocalUnsupported(str(model.describe()["name"]), why, models_with(needed))
