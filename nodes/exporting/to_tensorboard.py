"""Runs in TensorBoard: a folder of event files, with the figures of each round as scalars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .exporters import ExportedRun


class ToTensorBoard:
    """`where` is the folder that TensorBoard is given (--logdir), by default ``tensorboard``; each run is one in it."""

    needs = "tensorboardX"
    usual = "tensorboard"

    def __init__(self, where: str, run: ExportedRun) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(Path(where or self.usual) / run.name))
        self._writer.add_text("settings", f"```json\n{json.dumps(dict(run.settings), indent=1)}\n```")

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, number)

    def close(self, status: str) -> None:
        self._writer.add_text("status", status or "goes on")
        self._writer.close()
