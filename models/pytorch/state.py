"""Which tensors of a module travel and which stay, and what an optimizer holds, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _NormBase

from ..weights import Array

OPTIMIZER = "optimizer/"
KEPT = "kept/"


def split_state(module: torch.nn.Module, *, local_statistics: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors of a module that are averaged, and those that stay at their site, by name.

    Integers stay, such as the number of batches that a normalization has seen: their mean has no meaning. With
    `local_statistics` the running means and variances of batch normalizations stay, too (Andreux et al. 2020,
    "Siloed federated learning for multi-centric histopathology datasets", section 3).
    """
    local = {
        f"{path}.{name}" if path else name
        for path, part in module.named_modules()
        if local_statistics and isinstance(part, _NormBase)
        for name, _ in part.named_buffers(recurse=False)
    }
    merged: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    for name, tensor in module.state_dict().items():
        stays = name in local or not tensor.is_floating_point()
        (kept if stays else merged)[name] = tensor
    return merged, kept


def to_array(tensor: torch.Tensor) -> Array:
    """Return a copy as an array; of bfloat16 and float16, which NumPy lacks or is slow with, as float32."""
    tensor = tensor.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return np.array(tensor.cpu().numpy())


def copy_into(tensor: torch.Tensor, array: Array) -> None:
    """Set a tensor's values, rounded to its own type."""
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.array(array)).reshape(tensor.shape))


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, Array]:
    """Return the moments that an optimizer holds, by the position of their parameter and their name."""
    held = optimizer.state_dict()["state"]
    return {
        f"{OPTIMIZER}{place}/{name}": to_array(value)
        for place, values in held.items()
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, arrays: Mapping[str, Array]) -> None:
    """Give an optimizer back what `optimizer_arrays` returned."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, array in arrays.items():
        place, _, name = key.removeprefix(OPTIMIZER).partition("/")
        state.setdefault(int(place), {})[name] = torch.from_numpy(np.array(array))
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
