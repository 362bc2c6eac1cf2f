"""``nervenet doctor``: look at this site, and say what would keep a node from taking part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .addresses import to_dial
from .options import experiment_flags, insecure_flag, said

if TYPE_CHECKING:
    from nervenet.nodes.config.schema import Experiment
    from nervenet.nodes.diagnosis.doctor import Visit
    from nervenet.nodes.diagnosis.finding import Finding


@click.command()
@click.argument("file", metavar="[EXPERIMENT.toml]", type=click.Path(path_type=Path), required=False)
@click.option(
    "--broker",
    metavar="ADDRESS",
    callback=to_dial,
    help="The broker's directory: tcp://HOST:PORT. [default: whether one could run here]",
)
@click.option("--run", metavar="NAME", default="", help="The run that is to be joined: who is there, is the name free")
@click.option("--name", metavar="NAME", help="Which key of --keys, and this node's name. [default: the only key's]")
@click.option("--advertise", metavar="HOST", help="Where others reach this node: the broker tries whether they do")
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), default="runs", show_default=True,
    help="Where run folders are to be written")  # fmt: skip
@click.option(
    "--site", metavar="FILE", type=click.Path(path_type=Path), help="This site's own file, of the table [site] alone"
)
@click.option("--json", is_flag=True, help="A JSON object for each finding, one a line.")
@insecure_flag
@experiment_flags("sites", "processes", "regions", "region-rounds")
def doctor(
    overrides: dict[str, object],
    file: Path | None,
    broker: str | None,
    run: str,
    name: str | None,
    advertise: str | None,
    out: Path,
    site: Path | None,
    json: bool,
    insecure: bool,
) -> None:
    """Look at this site, and say what would keep a node from taking part in a run.

    Give what "nervenet node" is given. A line for each check: ok, warning or problem, with what was found, what is
    expected and how to mend it. Exit code 1 if there are problems. Nothing is joined, and no run is disturbed.
    """
    from .signals import run as run_until_signal

    overrides |= {"network.insecure": True} if insecure else {}
    overrides |= {"network.advertise": advertise} if advertise else {}
    experiment, ineffective, wrong = _experiment(file, overrides, site)
    from nervenet.nodes.diagnosis.doctor import Visit
    from nervenet.nodes.diagnosis.finding import problems_in

    data = "data.name" in overrides or (file is not None and wrong is None and _has_file(experiment))
    visit = Visit(experiment, file, broker, run, name, out, data=data, ineffective=tuple(ineffective))
    found: list[Finding] = []
    if wrong is not None:
        _say(wrong, found, json=json)
    run_until_signal(lambda: _examine(visit, found, json=json))
    count = problems_in(found)
    cautions = sum(finding.state == "warning" for finding in found)
    if not json:
        print(f"{count or 'no'} problem{'s' * (count != 1)}, {cautions or 'no'} warning{'s' * (cautions != 1)}")
    if count:
        click.get_current_context().exit(1)


def _experiment(
    file: Path | None, overrides: dict[str, object], site: Path | None
) -> tuple[Experiment, list[str], Finding | None]:
    """Return the experiment, its settings without effect, and what is wrong with it: then the rest is the defaults'."""
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.diagnosis.finding import problem
    from nervenet.nodes.experiment.ineffective import warnings
    from nervenet.nodes.experiment.loader import load_experiment

    try:
        experiment = load_experiment(file, overrides, site)
    except ExperimentError as error:
        if file is None:
            raise
        usual = {key: value for key, value in overrides.items() if key.startswith("network.")}
        return load_experiment(None, usual), [], problem("experiment", str(error), "", "see docs/keys.md")
    return experiment, [] if file is None and not overrides else warnings(experiment, said(overrides)), None


def _has_file(experiment: Experiment) -> bool:
    from nervenet.nodes.config.schema import is_file_name

    return is_file_name(experiment.data.name)


async def _examine(visit: Visit, found: list[Finding], *, json: bool) -> None:
    from nervenet.nodes.diagnosis.doctor import examine

    async for finding in examine(visit):
        _say(finding, found, json=json)


def _say(finding: Finding, found: list[Finding], *, json: bool) -> None:
    from nervenet.nodes.results.run_dir import to_json

    from .output import say

    found.append(finding)
    fields: Any = finding.to_dict()
    say(to_json(fields) if json else finding)
