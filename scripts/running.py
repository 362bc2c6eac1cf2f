"""What launch and simulate have in common: which experiment, once or for several seeds, and what is printed of it."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from .logs import folder_log_options
from .options import every_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nervenet.nodes.config.schema import Experiment
    from nervenet.nodes.launching.process_logs import LogSettings

Start: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]
"""Runs an experiment: (experiment, view, run folders so far, options by name) -> its summary."""


def run_options(*further: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds what both commands take beside the keys of an experiment, and `further` options."""
    path = click.Path(path_type=Path)
    out = click.option("--out", metavar="DIR", type=path, help="Run folder. [default: runs/<UTC time>-<mode>-<data>]")
    seeds = "One run for each seed, one after another, in folders under --out."
    options = (
        click.argument("files", metavar="[EXPERIMENT.toml]", type=path, nargs=-1),
        out,
        *further,
        click.option("--quiet", is_flag=True, help="No live display; the result in one line."),
        click.option("--json", is_flag=True, help="Every event as a JSON line on standard output."),
        *folder_log_options,
        every_option,
        click.option("--seeds", metavar="N,N,…", help=seeds),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for add in reversed(options):  # the last decorator's option comes first in the help
            function = add(function)
        return function

    return decorate


def run_all(
    start: Start,
    experiment: Experiment,
    seeds: tuple[int, ...] | None,
    out: Path | None,
    early: Mapping[str, Any],
    *,
    resume: Path | None = None,
    quiet: bool,
    json: bool,
    every_s: float | None = None,
    logs: LogSettings | None = None,
) -> None:
    """Run an experiment, for each of some seeds or as it is, and print what came of it."""
    if seeds is None:
        shown: dict[str, Any] = {"quiet": quiet, "json": json, "every_s": every_s}
        summary, folder = run_one(start, experiment, out, resume, early, **shown, logs=logs)
        conclude(summary, folder, quiet=quiet, json=json)
    else:
        run_each(start, experiment, seeds, out, early, quiet=quiet, json=json, every_s=every_s, logs=logs)


def experiment_file(files: tuple[Path, ...], overrides: dict[str, object]) -> tuple[Path | None, dict[str, object]]:
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


def seeds_of(text: str, resume: Path | None, overrides: Mapping[str, object]) -> tuple[int, ...]:
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.results.seeds import parse_seeds

    if resume is not None:
        raise ExperimentError(f"--seeds {text}: cannot be resumed as one; resume the run of a seed: its own folder")
    if "seed" in overrides:
        raise ExperimentError(f"--seeds {text}: and a single seed, {overrides['seed']}; leave one of them out")
    return parse_seeds(text)


def run_each(
    start: Start,
    experiment: Experiment,
    seeds: tuple[int, ...],
    out: Path | None,
    early: Mapping[str, Any],
    *,
    quiet: bool,
    json: bool,
    every_s: float | None = None,
    logs: LogSettings | None = None,
) -> None:
    """Run an experiment once for each seed, and print what the runs have come to together."""
    from dataclasses import replace
    from datetime import UTC, datetime

    from nervenet.nodes.results.run_dir import new_default_dir
    from nervenet.nodes.results.seeds import over_seeds, prepare, seed_dir, write_seeds

    from .output import going_on
    from .result_table import print_seeds

    out = new_default_dir(experiment, datetime.now(UTC)) if out is None else out
    prepare(out)
    summaries: dict[int, Mapping[str, Any]] = {}
    for seed in seeds:
        summaries[seed], folder = run_one(
            start,
            replace(experiment, seed=seed),
            seed_dir(out, seed),
            None,
            early,
            quiet=quiet,
            json=json,
            every_s=every_s,
            logs=logs,
        )
        conclude(summaries[seed], folder, quiet=True, json=json)
        early = {}  # the fork server, and the time of the command's start, are the first run's
        write_seeds(out, over_seeds(summaries))
    if not json:
        with going_on():
            print_seeds(over_seeds(summaries), out, sys.stdout)


def run_one(
    start: Start,
    experiment: Experiment,
    out: Path | None,
    resume: Path | None,
    early: Mapping[str, Any],
    *,
    quiet: bool,
    json: bool,
    every_s: float | None = None,
    logs: LogSettings | None = None,
) -> tuple[Mapping[str, Any], Path]:
    """Return the summary of one run, and its folder."""
    from nervenet.nodes.results.run_dir import has_checkpoints, not_written, read_summary

    from .output import warn
    from .signals import Stopped, run
    from .view_choice import choose_view

    view = choose_view(quiet=quiet, json=json, every_s=every_s, guessed=experiment.data.task is None)
    folders: list[Path] = []

    log = contextlib.ExitStack()

    def began(folder: Path) -> None:
        folders.append(folder)
        if logs is not None:
            log.enter_context(_logging_in(folder, logs, experiment.max_log_bytes))
        for line in () if quiet else not_written(experiment):
            warn(line)

    where: dict[str, Any] = {"out": out, "resume": resume, "on_run_dir": began}
    where |= {} if logs is None else {"logs": logs}
    try:
        with log:
            return run(lambda: start(experiment, view, folders, **where, **early)), folders[0]
    except (Stopped, RuntimeError):
        # A run that failed or was interrupted leaves what it has.
        for folder in folders:
            if (known := read_summary(folder)).get("status") == "completed":  # stopped while its baselines trained
                conclude(known, folder, quiet=quiet, json=json)
                continue
            view.note(f"run folder {folder}")
            if has_checkpoints(folder):
                view.note(f"to resume: nervenet launch --resume {shlex.quote(str(folder))}")
        raise


@contextlib.contextmanager
def _logging_in(folder: Path, settings: LogSettings, max_bytes: int) -> Iterator[None]:
    from nervenet.nodes.launching.nodes_log import NodesLog
    from nervenet.nodes.launching.process_logs import configure

    with NodesLog(folder, max_bytes) as log:
        set_back = configure(settings, log)
        try:
            yield
        finally:
            set_back()


def conclude(summary: Mapping[str, Any], folder: Path, *, quiet: bool, json: bool) -> None:
    from .output import going_on, say
    from .result_table import print_result, result_line

    if json:
        return
    with going_on():
        if quiet:
            say(result_line(summary))
            say(folder)
        else:
            print_result(summary, folder, sys.stdout)
