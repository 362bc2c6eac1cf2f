"""``nervenet launch``: a broker and N node processes on this machine."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import experiment_flags, insecure_flag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nervenet.nodes.config.schema import Experiment
    from nervenet.nodes.results.run_result import RunResult

    from .views import View


@click.command()
@click.argument("files", metavar="[EXPERIMENT.toml]", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Run folder. [default: runs/<UTC time>-<mode>-<data>]",
)
@click.option(
    "--resume",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Continue the run of this folder after its last checkpoint.",
)
@click.option("--quiet", is_flag=True, help="No live display; the result in one line.")
@click.option("--json", is_flag=True, help="Every event as a JSON line on standard output.")
@click.option("--seeds", metavar="N,N,…", help="One run for each seed, one after another, in folders under --out.")
@click.option("--audit", is_flag=True, help="Each node keeps an audit log in the run folder; see nervenet audit.")
@insecure_flag
@experiment_flags()
@click.pass_obj
def launch(
    early: Mapping[str, Any] | None,
    overrides: dict[str, object],
    files: tuple[Path, ...],
    out: Path | None,
    resume: Path | None,
    quiet: bool,
    json: bool,
    seeds: str | None,
    audit: bool,
    insecure: bool,
) -> None:
    """Start a broker and N nodes, show their progress, and stop them.

    EXPERIMENT.toml is an experiment file, or a run folder to repeat; behind --sites, more of the sites' files. Leaves a
    run folder with the result, the model and its curves. "nervenet monitor" attaches from another terminal.
    """
    from nervenet.nodes.experiment.ineffective import warnings
    from nervenet.nodes.experiment.loader import load_experiment
    from nervenet.nodes.results.run_dir import check_run_dir

    from .output import INSECURE, warn

    file, overrides = _experiment_file(files, overrides)
    overrides |= {"network.insecure": True} if insecure else {}
    overrides |= {"site.audit": True} if audit else {}
    if resume is not None:
        check_run_dir(resume, file, out)
    chosen = None if seeds is None else _seeds(seeds, resume, overrides)
    experiment = load_experiment(resume or file, overrides)
    for line in warnings(experiment):
        warn(line)
    if experiment.network.insecure:
        warn(INSECURE, "insecure")
    if chosen is None:
        summary, folder = _one(experiment, out, resume, early or {}, quiet=quiet, json=json)
        _conclude(summary, folder, quiet=quiet, json=json)
    else:
        _each(experiment, chosen, out, early or {}, quiet=quiet, json=json)


def _experiment_file(files: tuple[Path, ...], overrides: dict[str, object]) -> tuple[Path | None, dict[str, object]]:
    """Return the experiment file, if one is named, and the overrides with the sites' files that stand beside it.

    An option takes one value, and a shell gives --sites many: those behind the first are told by their endings.
    """
    from nervenet.nodes.config.keys import ExperimentError

    sites = overrides.get("data.sites")
    rest = files
    if isinstance(sites, list):
        from nervenet.models.tables.suffixes import SUFFIXES, kind_of

        rest = tuple(f for f in files if f.suffix == ".toml" or (f.is_dir() and kind_of(f) not in SUFFIXES))
        overrides = {**overrides, "data.sites": [*sites, *(str(path) for path in files if path not in rest)]}
    if len(rest) > 1:
        hint = "" if sites else "; the files of sites stand behind --sites"
        raise ExperimentError(f"{rest[1]}: one experiment file at most, and {rest[0]} is one{hint}")
    return next(iter(rest), None), overrides


def _seeds(text: str, resume: Path | None, overrides: Mapping[str, object]) -> tuple[int, ...]:
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.results.seeds import parse_seeds

    if resume is not None:
        raise ExperimentError(f"--seeds {text}: cannot be resumed as one; resume the run of a seed: its own folder")
    if "seed" in overrides:
        raise ExperimentError(f"--seeds {text}: and a single seed, {overrides['seed']}; leave one of them out")
    return parse_seeds(text)


def _each(
    experiment: Experiment,
    seeds: tuple[int, ...],
    out: Path | None,
    early: Mapping[str, Any],
    *,
    quiet: bool,
    json: bool,
) -> None:
    """Run an experiment once for each seed, and print what the runs have come to together."""
    from dataclasses import replace
    from datetime import UTC, datetime

    from nervenet.nodes.results.run_dir import new_default_dir
    from nervenet.nodes.results.seeds import over_seeds, prepare, seed_dir, write_seeds

    from .result_table import print_seeds

    out = new_default_dir(experiment, datetime.now(UTC)) if out is None else out
    prepare(out)
    summaries: dict[int, Mapping[str, Any]] = {}
    for seed in seeds:
        summaries[seed], folder = _one(
            replace(experiment, seed=seed), seed_dir(out, seed), None, early, quiet=quiet, json=json
        )
        _conclude(summaries[seed], folder, quiet=True, json=json)
        early = {}  # the fork server, and the time of the command's start, are the first run's
        write_seeds(out, over_seeds(summaries))
    if not json:
        print_seeds(over_seeds(summaries), out, sys.stdout)


def _one(
    experiment: Experiment,
    out: Path | None,
    resume: Path | None,
    early: Mapping[str, Any],
    *,
    quiet: bool,
    json: bool,
) -> tuple[Mapping[str, Any], Path]:
    """Return the summary of one run, and its folder."""
    from nervenet.nodes.results.run_dir import has_checkpoints, not_written, read_summary

    from .output import warn
    from .signals import Stopped, run
    from .views import choose_view

    view = choose_view(quiet=quiet, json=json, guessed=experiment.data.task is None)
    folders: list[Path] = []

    def began(folder: Path) -> None:
        folders.append(folder)
        for line in () if quiet else not_written(experiment):
            warn(line)

    where = {"out": out, "resume": resume, "on_run_dir": began}
    try:
        return run(lambda: _launch(experiment, view, folders, **where, **early)), folders[0]
    except (Stopped, RuntimeError):
        # A run that failed or was interrupted leaves what it has.
        for folder in folders:
            if (known := read_summary(folder)).get("status") == "completed":  # stopped while its baselines trained
                _conclude(known, folder, quiet=quiet, json=json)
                continue
            view.note(f"run folder {folder}")
            if has_checkpoints(folder):
                view.note(f"to resume: nervenet launch --resume {folder}")
        raise


async def _launch(experiment: Experiment, view: View, folders: Sequence[Path], **options: Any) -> RunResult:
    from nervenet.nodes.launching.launcher import launch as start

    def on_address(address: str) -> None:
        from nervenet.nodes.launching.launch_keys import keys_to_watch_by

        keys = keys_to_watch_by(experiment, folders)
        how = f"nervenet monitor --broker {address}" + (f" --keys {keys}" if keys else "")
        how += " --insecure" if experiment.network.insecure else ""
        view.note(f"broker {address}  (watch from another terminal: {how})")

    on_target = partial(view.note_target, experiment.data)
    async with view.running():
        return await start(
            experiment, on_event=view.event, on_address=on_address, on_target=on_target, progress=False, **options
        )


def _conclude(summary: Mapping[str, Any], folder: Path, *, quiet: bool, json: bool) -> None:
    from .output import say
    from .result_table import print_result, result_line

    if json:
        return
    if quiet:
        say(result_line(summary))
        say(folder)
    else:
        print_result(summary, folder, sys.stdout)
