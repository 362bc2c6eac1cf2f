"""``nervenet simulate``: the nodes of an experiment in this process, on virtual time."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .logs import settings_of
from .options import SIMULATION_FLAGS, experiment_flags, said
from .running import experiment_file, run_all, run_options, seeds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nervenet.nodes.config.schema import Experiment
    from nervenet.nodes.results.run_result import RunResult

    from .views import View


@click.command()
@run_options()
@experiment_flags("processes", "keys", "on", also=SIMULATION_FLAGS)
@click.pass_obj
def simulate(
    early: Mapping[str, Any] | None,
    overrides: dict[str, object],
    files: tuple[Path, ...],
    out: Path | None,
    quiet: bool,
    json: bool,
    every_s: float | None,
    log_format: str | None,
    log_level: str | None,
    seeds: str | None,
) -> None:
    """Run N nodes in this process, on virtual time, over a network that is a model of one.

    The machines are the deployed ones, and where nothing is lost or late the model has the bits of nervenet launch.
    EXPERIMENT.toml is an experiment file, or a run folder to repeat; its table [simulation] says how long messages and
    training take, what is lost, and who goes offline. Leaves a run folder as launch does.
    """
    from nervenet.nodes.experiment.ineffective import idle_in_simulation, warnings
    from nervenet.nodes.experiment.loader import load_experiment

    from .output import warn

    file, overrides = experiment_file(files, overrides)
    chosen = None if seeds is None else seeds_of(seeds, None, overrides)
    experiment = load_experiment(file, overrides)
    given = said(overrides)
    for line in (*warnings(experiment, given), *idle_in_simulation(experiment, given)):
        warn(line)
    started_at = {key: value for key, value in (early or {}).items() if key == "started_at"}
    logs = settings_of(log_format, log_level, "json")
    run_all(_simulate, experiment, chosen, out, started_at, quiet=quiet, json=json, every_s=every_s, logs=logs)


async def _simulate(experiment: Experiment, view: View, _folders: Sequence[Path], **options: Any) -> RunResult:
    from nervenet.nodes.simulation.simulate import simulate as start

    def on_address(address: str) -> None:
        view.note(f"broker {address}  (watch from another terminal: nervenet monitor --broker {address})")

    del options["resume"]  # None: there is nothing to resume from
    options.pop("logs", None)  # there are no other processes
    on_target = partial(view.note_target, experiment.data)
    async with view.running():
        return await start(experiment, on_event=view.event, on_address=on_address, on_target=on_target, **options)
