"""``nervenet describe``: federated statistics of several files, one node each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FLAGS, experiment_flags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nervenet.models.describe.description import Description
    from nervenet.models.tables.options import ReadOptions
    from nervenet.nodes.config.schema import Experiment


MIN_ROWS = 10
OF_COLUMNS = ("data.drop", "data.id", "data.categorical", "data.numeric", "data.date")

BY_HAND = ("nodes", "data.min_rows", "network.", "site.")
"""Keys that a description by hand heeds at every node, and those that it heeds at one kind alone."""

OF_COORDINATOR = ("deadline_s", "federated.deadline_s", "federated.min_clients", "federated.wait_deadline_s")
BOUND = ("network.advertise", "network.bind")  # nobody dials a site
OF_SITE = ("data.name", *OF_COLUMNS, "data.columns.")


@click.command()
@click.option(
    "--data",
    metavar="FILE…",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The sites' files, one node each, with or without --data; sites are called as their files are.",
)
@click.argument("more", metavar="[FILE]…", nargs=-1, type=click.Path(path_type=Path))
@click.option("--min-rows", metavar="N", type=click.IntRange(1), default=MIN_ROWS, show_default=True, help=(
    "A site, or a column of one, with fewer values is left out, and no count below it is shown."))  # fmt: skip
@click.option("--bins", metavar="N", type=click.IntRange(1, 1000), default=20, show_default=True, help=(
    "Bins of a histogram, at most."))  # fmt: skip
@click.option("--correlations", is_flag=True, help="Also of every two columns of numbers.")
@experiment_flags(*(flag.name for flag in FLAGS if flag.key not in OF_COLUMNS))
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder for description.json and page.html")
@click.option("--json", is_flag=True, help="The whole description as JSON on standard output.")
@click.pass_obj
def describe(
    early: Mapping[str, Any] | None,
    overrides: dict[str, object],
    data: tuple[Path, ...],
    more: tuple[Path, ...],
    min_rows: int,
    bins: int,
    correlations: bool,
    out: Path | None,
    json: bool,
) -> None:
    """Describe the tables of several sites, of which none hands out its rows.

    Counts, gaps, means, exact quartiles, histograms, categories and dates: of all sites together and of each, without a
    small count. What each site gave away for it is listed.
    """
    from nervenet.nodes.describing.files import check_out

    from .signals import run

    if not (data or more):
        raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'--data'", param_type="option")
    if out is not None:
        check_out(out)
    asked = {"min_rows": min_rows, "bins": bins, "correlations": correlations, "options": _options(overrides)}
    fork_server = (early or {}).get("fork_server")
    found = run(lambda: _describe((*data, *more), **asked, on_note=_note, fork_server=fork_server))
    _show(found.to_dict(), out, json=json)


def describe_by_hand(
    role: str,
    file: Path | None,
    overrides: Mapping[str, object],
    *,
    resuming: bool,
    out: Any,
    correlations: Any,
    json: Any,
    quiet: bool,
    site: Path | None,
    **where: Any,
) -> None:
    """Take part in a description between machines, as coordinator or as one of the sites."""
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.config.schema import is_file_name
    from nervenet.nodes.describing.files import check_out
    from nervenet.nodes.experiment.loader import load_experiment

    from .output import INSECURE, warn
    from .signals import run

    if role == "peer" or resuming:
        raise ExperimentError(
            "--describe is for a coordinator and its sites, and ends at once: not for peers, not to resume"
        )
    if role != "coordinator" and (out is not None or correlations or json):
        raise ExperimentError("--out, --json and --correlations are the coordinator's: a site learns nothing of others")
    refuse_idle(role, overrides)
    where["on_wait"] = None if quiet else _note
    experiment = load_experiment(file, {**overrides, "mode": "federated"}, site)
    if experiment.network.insecure:
        warn(INSECURE, "insecure")
    min_rows = experiment.data.min_rows if "data.min_rows" in overrides else None
    if role != "coordinator":
        name = experiment.data.name
        if not is_file_name(name) and not Path(name).is_file():
            raise ExperimentError(f"data.name = {name!r}: expected this site's own file (--data FILE)")
        run(lambda: _answer(experiment, min_rows, **where))
        return
    if out is not None:
        check_out(out)
    found = run(lambda: _ask(experiment, min_rows, correlations=correlations, **where))
    _show(found.to_dict(), out, json=json)


async def _ask(
    experiment: Experiment, min_rows: int | None, *, correlations: bool, on_wait: Any, **where: Any
) -> Description:
    from nervenet.models.describe.questions import DescribeOptions
    from nervenet.nodes.describing.standalone import ask_sites, identity_of

    asked = DescribeOptions(min_rows or MIN_ROWS, correlations=correlations)
    return await ask_sites(asked, experiment, identity_of("coordinator", experiment, **where), _note, on_wait)


async def _answer(experiment: Experiment, min_rows: int | None, *, on_wait: Any, **where: Any) -> None:
    from nervenet.nodes.describing.standalone import answer_for, identity_of

    options = experiment.data.options
    identity = identity_of("client", experiment, **where)
    await answer_for(Path(experiment.data.name), options, min_rows or MIN_ROWS, experiment, identity, _note, on_wait)


def refuse_idle(role: str, overrides: Mapping[str, object]) -> None:
    """Raise ExperimentError for an option that has no effect in a description; a file is for other runs, too."""
    from nervenet.nodes.config.keys import ExperimentError

    allowed = (*BY_HAND, *(OF_COORDINATOR if role == "coordinator" else OF_SITE))
    for key in overrides:
        heeded = key in allowed or any(known.endswith(".") and key.startswith(known) for known in allowed)
        if heeded and (role == "coordinator" or key not in BOUND):
            continue
        names = {flag.key: f"--{flag.name}" for flag in FLAGS if flag.name not in ("mode", "sites")}
        names["network.advertise"] = "--advertise"
        others = ", ".join(names.get(known, f"--set {known}{'…' * known.endswith('.')}") for known in allowed)
        what = "at a coordinator" if role == "coordinator" else "at a site"
        raise ExperimentError(
            f"{names.get(key, f'--set {key}')}: has no effect in a description {what}; allowed: {others}"
        )


def _note(text: str) -> None:
    from .output import tell

    tell(text)


def _show(found: dict[str, Any], out: Path | None, *, json: bool) -> None:
    """Print a description, and write its files."""
    from nervenet.models.extras import installed
    from nervenet.nodes.describing.files import write_description
    from nervenet.nodes.results.run_dir import to_json
    from nervenet.nodes.runtime.printable import printable

    from .description_table import print_description

    for name, column in found["columns"].items():
        if column["kind"] == "mixed":
            _note(f"warning: column {name} is {column['note']}")
    written = () if out is None else write_description(found, out)
    if json:
        print(to_json(found), flush=True)
        return
    print_description(found, sys.stdout, rich=sys.stdout.isatty() and installed("rich"))
    for path in written:
        print(printable(path))


async def _describe(files: tuple[Path, ...], **asked: Any) -> Description:
    from nervenet.nodes.describing.describe import describe as start

    return await start(files, **asked)


def _options(overrides: Mapping[str, object]) -> ReadOptions:
    """Return what the flags and ``--set data.columns…`` say of the columns."""
    from nervenet.nodes.config.keys import ExperimentError, override
    from nervenet.nodes.config.schema import Experiment

    for key in overrides:
        if key not in OF_COLUMNS and not key.startswith("data.columns."):
            allowed = ", ".join((*OF_COLUMNS, "data.columns.NAME.…"))
            raise ExperimentError(f"--set {key}: a description has no such key; allowed: {allowed}")
    return Experiment.from_dict(override({}, overrides)).data.options
