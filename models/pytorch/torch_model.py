"""TorchModel: a PyTorch module that learns together with its copies on other sites."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from inspect import signature
from math import nan
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase

from ..base import FitJob, ModelBase, plain
from ..data.prepared import fetched
from ..model import Capability, FitReport, LocalUnsupported, LocalWork
from ..new_vector import laid_out
from ..weights import Array, Layout, Vector
from .state import KEPT, OPTIMIZER, copy_into, optimizer_arrays, restore_optimizer, split_state, to_array

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
ROWS = 1024
"""Rows that are predicted at a time."""

_random = threading.Lock()


@contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """PyTorch's random numbers, for as long as this lasts, from `rng`; then the program's own go on as before.

    They belong to the whole process, so that one thread at a time may have them.
    """
    # `manual_seed` seeds graphics processors, too. To ask for the state of one that is not in use would start it.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with _random, torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(int(rng.integers(2**63)))
        yield


class TorchModel(ModelBase):
    """A PyTorch module as a `Model`: its floating-point tensors are the weights, and are trained by mini-batches.

    A class of one's own derives from it, so that experiment files can name it (``model.name = "file:Class"``): its
    parameters, numbers and texts, are kept as attributes of the same names.

    Parameters
    ----------
    module : callable or torch.nn.Module
        Returns the module for (n_features, n_classes), n_classes being None for regression; called by `build`, with
        PyTorch's seed set from the run's. Or a module: it is copied, and all parts that have `reset_parameters` are
        reset by it. The module gets (rows, n_features) and returns (rows, n_classes), without softmax, or (rows,) or
        (rows, 1) for regression.
    loss : callable, optional
        Of (output, target), returns one loss a row, shape (rows,), or their mean, a scalar, which has no weights of
        rows. By default the cross entropy, or half the squared error.
    optimizer : callable, optional
        Returns an optimizer for the parameters it is given; by default SGD, rate .05, momentum .9. Its rate is replaced
        where `LocalWork.learning_rate` is given.
    batch_norm : {"merge", "local"}
        What becomes of the running statistics of batch normalizations: averaged with the weights, or each site's own.
    """

    in_batches = True
    runs_foreign_code = True  # the module's, and PyTorch's random numbers are waited for

    def __init__(
        self,
        module: torch.nn.Module | Callable[[int, int | None], torch.nn.Module],
        loss: Loss | None = None,
        optimizer: Callable[[Any], torch.optim.Optimizer] | None = None,
        *,
        batch_norm: Literal["merge", "local"] = "merge",
    ) -> None:
        if batch_norm not in ("merge", "local"):
            raise ValueError(f"batch_norm is {batch_norm!r}; merge and local are allowed")
        self.name = type(self).__name__
        self.batch_norm = batch_norm
        self._make, self._loss = module, loss
        self._make_optimizer = optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9))
        by_row = loss is None or getattr(loss, "reduction", "none") == "none"
        self.capabilities = frozenset[Capability]({"proximal", "correction", *({"sample_weight"} if by_row else ())})
        self.module: Any = None  # from `build` on
        self._optimizer: torch.optim.Optimizer | None = None

    def describe(self) -> dict[str, Any]:
        """Return the import path, and of a derived class its parameters; of a module given here its text."""
        own = type(self)
        if own.__init__ is TorchModel.__init__:
            parameters = {"module": str(self._make) if isinstance(self._make, torch.nn.Module) else _named(self._make)}
        else:
            parameters = {name: plain(getattr(self, name)) for name in signature(own).parameters}
        return {"name": f"{own.__module__}:{own.__qualname__}", "parameters": parameters}

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        """Make the module. Raises ValueError: it does not take so many columns, or returns another shape."""
        self.set_task(n_features, n_classes)
        with seeded(rng):
            self.module = self._made(n_features, n_classes)
            self._check_output(n_features, n_classes)
        self._merged, self._kept = split_state(self.module, local_statistics=self.batch_norm == "local")
        if not self._merged:
            raise ValueError(f"{self.name} has no parameters to train")
        self._parameters = {name: each for name, each in self.module.named_parameters() if name in self._merged}
        self.dtype = "float64" if torch.float64 in {each.dtype for each in self._merged.values()} else "float32"
        self._layout = Layout(tuple(self._merged), tuple(tuple(t.shape) for t in self._merged.values()), self.dtype)
        self._normalizes = any(isinstance(part, _NormBase) for part in self.module.modules())
        self._optimizer = None
        return self._layout

    def _made(self, n_features: int, n_classes: int | None) -> torch.nn.Module:
        if not isinstance(self._make, torch.nn.Module):
            return self._make(n_features, n_classes)
        module = deepcopy(self._make)
        for part in module.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
        return module

    def _check_output(self, n_features: int, n_classes: int | None) -> None:
        """Look at the output for one row of zeros, which also makes the parameters of lazy parts."""
        self.module.eval()
        wanted = f"(1, {n_classes})" if n_classes else "(1,) or (1, 1)"
        try:
            with torch.no_grad():
                found = tuple(self.module(self._input(np.zeros((1, n_features)))).shape)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{self.name} cannot take {n_features} columns: {error}") from error
        if found not in ([(1, n_classes)] if n_classes else [(1,), (1, 1)]):
            raise ValueError(f"{self.name} returns the shape {found} for one row; {wanted} is needed")

    def _input(self, X: Array) -> torch.Tensor:
        first = next(iter(self.module.parameters()), torch.empty(0))
        return torch.from_numpy(np.ascontiguousarray(X)).to(first.device, first.dtype)

    def get_weights(self) -> Vector:
        self.layout  # noqa: B018 - raises before build()
        return laid_out([to_array(each).astype(self.dtype, copy=False) for each in self._merged.values()])

    def set_weights(self, vector: Vector) -> None:
        self.layout.check(vector)
        for name, view in self.layout.views(vector).items():
            copy_into(self._merged[name], view)

    def run(self, job: FitJob) -> FitReport:
        X, y, work, rng, stop, correction, weight = job
        n, rows = len(X), min(work.batch_size, len(X))
        # A batch normalization cannot train on one row: one that an epoch would end with is left out of it.
        used = n - 1 if self._normalizes and n % rows == 1 else n
        target = work.steps(used)
        optimizer = self._prepared_optimizer(work)
        pull = self._pull(work.proximal, correction)
        steps, losses, cancelled = 0, 0.0, False
        total = used if weight is None else float(weight.sum())
        self.module.train()
        with seeded(rng):
            while steps < target and not cancelled:
                order, losses = rng.permutation(n)[:used][: (target - steps) * rows], 0.0
                for batch, inputs in fetched(X, (order[i : i + rows] for i in range(0, len(order), rows))):
                    if cancelled := stop():
                        break
                    part = None if weight is None else weight[batch]
                    loss = self._step(optimizer, inputs, y[batch], part, pull)
                    losses += loss * (len(batch) if part is None else float(part.sum())) / total
                    steps += 1
        return FitReport(losses if steps else nan, n, steps, cancelled)

    def _step(self, optimizer: Any, X: Array, y: Array, weight: Array | None, pull: Any) -> float:
        """Take one step; return the mean loss before it."""
        optimizer.zero_grad(set_to_none=True)
        losses = self._losses(self.module(self._input(X)), y)
        if weight is not None and losses.shape != (len(y),):
            raise LocalUnsupported(
                self.name,
                f"its loss returns the shape {tuple(losses.shape)} for {len(y)} rows, which has no weights of rows; "
                f"({len(y)},) is needed, as with reduction='none'",
            )
        if weight is None:
            loss = losses.mean()
        else:
            factor = torch.from_numpy(weight).to(losses.device, losses.dtype)
            loss = (losses * factor).sum() / factor.sum()
        loss.backward()
        pull()
        optimizer.step()
        return float(loss.detach())

    def _losses(self, output: torch.Tensor, y: Array) -> torch.Tensor:
        if self.n_classes is not None:
            target = torch.from_numpy(np.asarray(y, np.int64)).to(output.device)
            return (
                self._loss(output, target) if self._loss else functional.cross_entropy(output, target, reduction="none")
            )
        output = output.reshape(len(y))
        target = torch.from_numpy(np.array(y)).to(output.device, output.dtype)
        return self._loss(output, target) if self._loss else (output - target).square() / 2

    def _pull(self, proximal: float, correction: Vector | None) -> Callable[[], None]:
        """Return what adds to the gradients, after each backward pass, what `LocalWork` and `Model.fit` ask for."""
        views = {} if correction is None else self.layout.views(correction)
        added = {name: torch.from_numpy(np.array(view)) for name, view in views.items() if name in self._parameters}
        started = {name: each.detach().clone() for name, each in self._parameters.items()} if proximal else {}

        def pull() -> None:
            for name, each in self._parameters.items():
                if each.grad is None:
                    continue
                if name in added:
                    each.grad += added[name].to(each.grad)
                if name in started:
                    each.grad += proximal * (each.detach() - started[name])

        return pull

    def _prepared_optimizer(self, work: LocalWork) -> torch.optim.Optimizer:
        if self._optimizer is None or not work.carry_optimizer:
            self._optimizer = self._make_optimizer(self.module.parameters())
        if work.learning_rate is not None:
            for group in self._optimizer.param_groups:
                group["lr"] = work.learning_rate
        return self._optimizer

    def predict(self, X: Array) -> Array:
        """Return class indices (int64), or targets in standardized units, one a row."""
        found = self._outputs(X)
        return found.argmax(axis=1) if self.n_classes is not None else found.reshape(-1).astype(np.float64)

    def probabilities(self, X: Array) -> Array | None:
        """Return class probabilities, shape (n, n_classes): the softmax of the outputs; None for regression."""
        if self.n_classes is None:
            return None
        return np.asarray(torch.softmax(torch.from_numpy(self._outputs(X)), dim=1).numpy())

    def _outputs(self, X: Array) -> Array:
        X = self.checked(X)
        self.module.eval()
        with torch.no_grad():
            parts = [to_array(self.module(self._input(X[i : i + ROWS]))) for i in range(0, max(len(X), 1), ROWS)]
        return np.concatenate(parts)

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:
        """Return the tensors that stay at the site and, with `moments`, what the optimizer holds."""
        state = {KEPT + name: to_array(tensor) for name, tensor in self._kept.items()} if self._layout else {}
        if moments and self._optimizer is not None:
            state |= optimizer_arrays(self._optimizer)
        return state

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Put back what `get_state` returned, or some of it."""
        for name, tensor in self._kept.items():
            if KEPT + name in state:
                copy_into(tensor, state[KEPT + name])
        moments = {key: array for key, array in state.items() if key.startswith(OPTIMIZER)}
        if moments:
            self._optimizer = self._make_optimizer(self.module.parameters())
            restore_optimizer(self._optimizer, moments)


def _named(made: Any) -> str:
    return f"{made.__module__}:{made.__qualname__}" if hasattr(made, "__qualname__") else type(made).__qualname__
