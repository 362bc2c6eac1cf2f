"""Runs in the offline format of Weights & Biases, which ``wandb sync`` uploads; nothing is sent before that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .exporters import ExportedRun


class ToWandb:
    """`where` is the folder in which wandb makes its own, by default the current one."""

    needs = "wandb"
    usual = "."

    def __init__(self, where: str, run: ExportedRun) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        Path(where or self.usual).mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True)
        self._run = wandb.init(
            project="nervenet",
            name=run.name,
            config=dict(run.settings),
            dir=where or self.usual,
            mode="offline",
            reinit="create_new",
            settings=quiet,
        )

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=number)

    def close(self, status: str) -> None:
        self._run.finish(exit_code=0 if status in ("completed", "") else 1)
