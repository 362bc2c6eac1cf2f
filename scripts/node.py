"""``nervenet node``: one coordinator, client or peer, for real machines."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .addresses import to_dial, to_dial_by_name
from .logs import log_options
from .options import experiment_flags, insecure_flag, said

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nervenet.nodes.config.schema import Experiment
    from nervenet.nodes.monitoring.run_view import RunView
    from nervenet.nodes.results.run_result import RunResult

    from .views import View


@click.command()
@click.argument(
    "role",
    metavar="ROLE",
    type=click.Choice(("coordinator", "client", "peer", "aggregator", "site")),
)
@click.argument(
    "file",
    metavar="[EXPERIMENT.toml]",
    type=click.Path(path_type=Path),
    required=False,
)
@click.option("--run", metavar="NAME", help="The run to join, the same name at all its nodes  [required]")
@click.option("--broker", metavar="ADDRESS", callback=to_dial, help="The broker's directory: tcp://HOST:PORT")
@click.option(
    "--seed-peer",
    metavar="ADDRESS",
    callback=to_dial_by_name,
    help="Peer, in place of --broker: any living peer of a run that has begun: tcp://HOST:PORT (with keys NAME@tcp://…)",
)
@click.option(
    "--upstream", metavar="ADDRESS", callback=to_dial, help="Aggregator: the broker of the run above: tcp://HOST:PORT"
)
@click.option(
    "--upstream-run", metavar="NAME", help="Aggregator: the run above. [default: as --run, at another broker]"
)
@click.option("--regions", metavar="N", type=int, help="Aggregator: how many there are in the run above, its --nodes")
@click.option("--name", metavar="NAME", help="This node's name in the run. [default: its key's, or from role and host]")
@click.option("--replace", is_flag=True, help="Take the name from another node, even if that one still answers.")
@click.option("--advertise", metavar="HOST", help="Where others reach this node, unless it is a client")
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder for the model that this node ends up with"
)
@click.option(
    "--resume",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Continue from the state in this node's run folder; peers: when all do.",
)
@click.option(
    "--describe",
    is_flag=True,
    help="No training: a site describes its table, the coordinator shows what all told; see nervenet describe",
)
@click.option("--correlations", is_flag=True, help="Coordinator, with --describe: also of every two columns")
@click.option(
    "--site",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="This site's own file, of the table [site] alone: what it takes part in, whatever EXPERIMENT.toml says",
)
@click.option("--quiet", is_flag=True, help="No progress; the result in one line.")
@click.option("--json", is_flag=True, help="This node's events as JSON lines on standard output.")
@insecure_flag
@log_options
@experiment_flags("mode", "sites", "regions", "on")
def node(
    overrides: dict[str, object],
    role: str,
    file: Path | None,
    run: str | None,
    broker: str | None,
    seed_peer: str | None,
    upstream: str | None,
    upstream_run: str | None,
    regions: int | None,
    name: str | None,
    replace: bool,
    advertise: str | None,
    out: Path | None,
    resume: Path | None,
    describe: bool,
    correlations: bool,
    site: Path | None,
    quiet: bool,
    json: bool,
    insecure: bool,
) -> None:
    """Run one coordinator, client or peer, for real machines.

    ROLE is coordinator, client or peer; or aggregator: the coordinator of a region, which is a client of the run above;
    or site: a client that only describes its table. EXPERIMENT.toml is an experiment file, the same at every node.

    --data is this site's own file, which never leaves it. A run on several machines is one "nervenet broker", and then
    one "nervenet node" for each site.
    """
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.experiment.loader import load_experiment
    from nervenet.nodes.results.run_dir import check_run_dir

    mode = "gossip" if role == "peer" else "federated"
    overrides |= {"network.insecure": True} if insecure else {}
    overrides |= {} if regions is None else {"hierarchy.regions": regions}
    above_only = {"--upstream": upstream, "--upstream-run": upstream_run, "--regions": regions}
    _check_options(role, overrides, above_only, seed_peer, advertise="" if describe else advertise or "")
    run = _check_way_in(role, run, broker, seed_peer)
    above = _above(role, broker or "", run, upstream, upstream_run)
    if describe or role == "site":
        from .describe import describe_by_hand

        overrides |= {"network.advertise": advertise} if advertise else {}
        here: dict[str, Any] = {
            "broker": broker,
            "run": run,
            "name": name,
            "replace": replace,
            "patient": _patient(overrides, file),
        }
        shown: dict[str, Any] = {"out": out, "json": json, "correlations": correlations, "quiet": quiet, "site": site}
        describe_by_hand(role, file, overrides, resuming=resume is not None, **shown, **here)
        return
    if correlations:
        raise ExperimentError("--correlations: is for a description; expected --describe beside it")
    if resume is not None:
        check_run_dir(resume, file, out)
    listening = _listening(role, _in_mode(mode, role, overrides), advertise)
    experiment = load_experiment(resume or file, listening, site)
    way = f"--seed-peer {seed_peer}" if seed_peer else f"--broker {broker}"
    way += f" --keys {keys}" if (keys := experiment.network.keys) else " --insecure" * insecure
    where = {"broker": broker or "", "seed_peer": seed_peer or "", "run": run, "name": name, "replace": replace}
    if above:
        _check_regions(experiment)
        way += f" --upstream {above['upstream']} --upstream-run {above['upstream_run']}"
    again = f"nervenet node {role} {way} --run {run}"
    patient = _patient(overrides, file)
    take_part(
        role,
        experiment,
        quiet=quiet,
        json=json,
        again=again,
        given=said(overrides),
        out=out,
        resume=resume,
        patient=patient,
        **where,
        **above,
    )


def take_part(
    role: str,
    experiment: Experiment,
    *,
    quiet: bool,
    json: bool,
    again: str,
    given: Collection[str] = (),
    **where: Any,
) -> None:
    """Run a node from beginning to end, and print what there is to see.

    `where` are the arguments of `run_node`; `again` is the command that starts it, but for --resume; `given` are the
    keys that its options have said.
    """
    from nervenet.nodes.experiment.ineffective import warnings
    from nervenet.nodes.report.units import duration, size
    from nervenet.nodes.results.run_dir import has_checkpoints, not_written

    from .output import INSECURE, warn
    from .result_table import result_line
    from .signals import Stopped
    from .signals import run as run_until_signal
    from .site_tables import site_lines
    from .views import JsonView, PlainView, View

    # No live table: a standalone node should stay small, and a monitor shows all nodes.
    security = "keys" if experiment.network.keys else "insecure" if experiment.network.insecure else ""
    plain = PlainView(_announced(where["run"], experiment), guessed=experiment.data.task is None, security=security)
    view = JsonView() if json else View() if quiet else plain
    for line in warnings(experiment, given):
        warn(line)
    if role == "peer" and experiment.evaluation.site_matrix:
        warn("evaluation.site_matrix has no effect at a peer, which sends no model of its rows alone")
    if role in ("coordinator", "aggregator") and not experiment.site.allow.everything:
        warn(f"site.allow has no effect at a {role}: it is for those who hold rows")
    if experiment.network.insecure:
        warn(INSECURE, "insecure")
    folder: Path | None = where["resume"] or where["out"]
    leaves = folder is not None and role != "client" and not quiet
    missing = iter(not_written(experiment) if leaves else ())

    def on_event(event: dict[str, Any]) -> None:
        for line in missing:  # once, and not before it is known that the node starts at all
            warn(line)
        view.event(event)

    try:
        summary = run_until_signal(lambda: _node(role, experiment, view, on_event=on_event, **where))
    except (Stopped, RuntimeError):
        # A run that failed or was interrupted leaves what it has.
        if folder is not None:
            view.note(f"run folder {folder}")
            if has_checkpoints(folder):
                view.note(f"to resume: {again} --resume {shlex.quote(str(folder))}")
                if role in ("coordinator", "aggregator"):
                    view.note("its clients ended with it: start them again, too")
        raise
    if json:
        return
    if role == "client":  # the coordinator has the global model's figures
        view.note(f"done in {duration(summary['wall_s'])}, {size(summary['bytes_sent'])} sent")
    else:
        for line in (result_line(summary), *site_lines(summary)):
            view.note(line)


def _check_options(
    role: str,
    overrides: Mapping[str, object],
    above_only: Mapping[str, object],
    seed_peer: str | None,
    *,
    advertise: str,
) -> None:
    """Refuse what is for other roles, before anything is asked for that this one needs."""
    from nervenet.nodes.config.keys import ExperimentError

    if seed_peer and role != "peer":
        raise ExperimentError(f"--seed-peer {seed_peer}: is for peers; a {role} joins by --broker")
    if advertise and role == "client":
        raise ExperimentError(f"--advertise {advertise}: is for those whom others dial; nobody dials a client")
    for option, value in above_only.items():
        if value is not None and role != "aggregator":
            raise ExperimentError(f"{option} {value}: is for aggregators; a {role} has no run above its own")
    if role == "client" and overrides.get("init"):
        raise ExperimentError(
            f"--init {overrides['init']}: a client starts from its coordinator's model: give it to that"
        )
    if role == "client" and (weights := overrides.get("training.class_weight")):
        raise ExperimentError(f"--class-weight {weights}: a client is told by its coordinator: give it to that")


def _check_way_in(role: str, run: str | None, broker: str | None, seed_peer: str | None) -> str:
    """Return the run to join; refuse a way in that is missing, or is two."""
    from nervenet.nodes.config.keys import ExperimentError

    if run is None:
        raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'--run'", param_type="option")
    if bool(broker) == bool(seed_peer):
        ways = "--broker, or --seed-peer" if role == "peer" else "--broker"
        raise ExperimentError(f"a {role} joins a run by one address: expected {ways}")
    return run


def _listening(role: str, overrides: dict[str, object], advertise: str | None) -> dict[str, object]:
    """Return the overrides with where others reach this node; a client listens nowhere, whatever its file says."""
    from nervenet.nodes.config.schema import NetworkConfig

    if role != "client":
        return overrides | ({"network.advertise": advertise} if advertise else {})
    return {"network.bind": NetworkConfig.bind} | overrides


def _above(role: str, broker: str, run: str, upstream: str | None, upstream_run: str | None) -> dict[str, str]:
    """Return where the run above an aggregator is; nothing for other roles."""
    from nervenet.nodes.config.keys import ExperimentError

    if role != "aggregator":
        return {}
    if not upstream:
        raise ExperimentError("an aggregator is a client of a run above its own: expected --upstream, its broker")
    above = upstream_run or run
    if (upstream, above) == (broker, run):
        raise ExperimentError(f"--upstream {upstream}: is this region's own broker; there expected --upstream-run")
    return {"upstream": upstream, "upstream_run": above}


def _check_regions(experiment: Experiment) -> None:
    from nervenet.nodes.config.keys import ExperimentError

    if experiment.hierarchy.regions is None:
        raise ExperimentError(
            "hierarchy.regions: an aggregator must know how many there are: expected --regions, as the coordinator "
            "above has --nodes"
        )


def _patient(overrides: dict[str, object], file: Path | None) -> bool:
    """Whether nothing says how long to wait for the others: then as long as it takes, since people start them."""
    from nervenet.nodes.experiment.loader import read_toml

    if "network.join_deadline_s" in overrides:
        return False
    # The file of a run folder says everything, whoever has said it first.
    return file is None or file.is_dir() or "join_deadline_s" not in read_toml(file).get("network", {})


def _announced(run: str, experiment: Experiment) -> RunView:
    from nervenet.nodes.monitoring.run_view import RunView

    known = (run, experiment.mode, experiment.data.label, experiment.model.name, experiment.rounds)
    return RunView(*known, status="running")


def _in_mode(mode: str, role: str, overrides: dict[str, object]) -> dict[str, object]:
    from nervenet.nodes.config.keys import ExperimentError

    if overrides.get("mode", mode) != mode:
        raise ExperimentError(f"--mode {overrides['mode']}: a {role} takes part in {mode} runs")
    return {**overrides, "mode": mode}


async def _node(role: str, experiment: Experiment, view: View, **where: Any) -> RunResult:
    from nervenet.nodes.launching.standalone import run_node

    on_target = partial(view.note_target, experiment.data)
    async with view.running():
        return await run_node(role, experiment, on_target=on_target, **where)
