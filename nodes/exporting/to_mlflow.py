"""Runs in MLflow: settings as parameters, the figures of each round as metrics at its step."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from .exporters import ExportedRun, plain_settings

HELD = 500  # metrics; it takes 1000 at once
STATUS = {"completed": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class ToMLflow:
    """`where` is the tracking URI: a server or a data base; by default what MLflow is set to (MLFLOW_TRACKING_URI)."""

    needs = "mlflow"

    def __init__(self, where: str, run: ExportedRun) -> None:
        # Nothing goes elsewhere that nobody asked for, nor to standard output (--json), where its runs print addresses.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(tracking_uri=where or None)
        known = self._client.get_experiment_by_name("nervenet")
        number = known.experiment_id if known else self._client.create_experiment("nervenet")
        self._run = self._client.create_run(number, run_name=run.name).info.run_id
        self._client.log_batch(self._run, params=[Param(*each) for each in plain_settings(run.settings).items()])
        self._held: list[Any] = []

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._held += [Metric(name, value, now, number) for name, value in figures.items()]
        if len(self._held) >= HELD:
            self.flush()

    def flush(self) -> None:
        held, self._held = self._held, []
        self._client.log_batch(self._run, held)

    def close(self, status: str) -> None:
        self.flush()
        self._client.set_terminated(self._run, STATUS.get(status, "RUNNING"))
