"""``nervenet launch``: a broker and N node processes on this machine."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .http_options import check_used, endpoint_option, http_access_options
from .live_exports import export_option, exporting, places_of, targets_of
from .logs import settings_of
from .metrics_endpoint import endpoint_of, metrics_option
from .options import experiment_flags, insecure_flag, said
from .running import experiment_file, run_all, run_options, seeds_of
from .web_server import DEFAULT as WEB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nervenet.nodes.config.schema import Experiment
    from nervenet.nodes.results.run_result import RunResult

    from .metrics_endpoint import Endpoint
    from .views import View
    from .web_beside import WebBeside


@click.command()
@run_options(
    click.option(
        "--resume",
        metavar="RUN",
        type=click.Path(path_type=Path),
        help="Continue the run of this folder after its last checkpoint.",
    ),
    click.option("--audit", is_flag=True, help="Each node keeps an audit log in the run folder; see nervenet audit."),
    insecure_flag,
    endpoint_option("web", WEB, "Show the run as a page for browsers, while it goes on."),
    metrics_option,
    http_access_options,
    export_option,
)
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
    every_s: float | None,
    log_format: str | None,
    log_level: str | None,
    seeds: str | None,
    audit: bool,
    insecure: bool,
    web: str | None,
    metrics: str | None,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    exports: tuple[str, ...],
) -> None:
    """Start a broker and N nodes, show their progress, and stop them.

    EXPERIMENT.toml is an experiment file, or a run folder to repeat; behind --sites, more of the sites' files. Leaves a
    run folder with the result, the model and its curves. "nervenet monitor" attaches from another terminal.
    """
    from nervenet.nodes.config.hierarchy import HierarchyConfig
    from nervenet.nodes.experiment.ineffective import idle_simulation, warnings
    from nervenet.nodes.experiment.loader import load_experiment
    from nervenet.nodes.results.run_dir import check_run_dir

    from .output import INSECURE, going_on, warn

    file, overrides = experiment_file(files, overrides)
    overrides |= {"network.insecure": True} if insecure else {}
    overrides |= {"site.audit": True} if audit else {}
    if resume is not None:
        check_run_dir(resume, file, out)
    chosen = None if seeds is None else seeds_of(seeds, resume, overrides)
    experiment = load_experiment(resume or file, overrides)
    if experiment.hierarchy != HierarchyConfig():  # before a page is opened, or a process started
        from nervenet.nodes.launching.regions.checks import check_regions

        check_regions(experiment, counted=experiment.cluster.data == "launcher")
    for line in (*warnings(experiment, said(overrides)), *idle_simulation(experiment, said(overrides))):
        warn(line)
    if experiment.network.insecure:
        warn(INSECURE, "insecure")
    check_used({"--web": web, "--metrics": metrics}, token_file, tls_cert, tls_key)
    targets = targets_of(exports)
    with contextlib.ExitStack() as stack:
        beside: WebBeside | None = None
        if web is not None:
            from .web_beside import web_beside
            from .web_server import open_place

            place = open_place(web, token_file, tls_cert, tls_key, insecure=insecure)
            with going_on():
                print(f"web view {place.url}", file=sys.stderr if quiet or json else sys.stdout, flush=True)
            beside = stack.enter_context(web_beside(place))
        endpoint = endpoint_of(metrics, token_file, tls_cert, tls_key, insecure=experiment.network.insecure)
        start = partial(_launch, endpoint, beside, targets)
        shown: dict[str, Any] = {"quiet": quiet, "json": json, "every_s": every_s}
        shown["logs"] = settings_of(log_format, log_level, "json")
        run_all(start, experiment, chosen, out, early or {}, resume=resume, **shown)


async def _launch(
    endpoint: Endpoint,
    beside: WebBeside | None,
    targets: Sequence[tuple[str, str]],
    experiment: Experiment,
    view: View,
    folders: Sequence[Path],
    **options: Any,
) -> RunResult:
    from nervenet.nodes.launching.launcher import launch as start

    def on_address(address: str) -> None:
        from nervenet.nodes.launching.launch_keys import keys_to_watch_by

        keys = keys_to_watch_by(experiment, folders)
        how = f"nervenet monitor --broker {address}" + (f" --keys {keys}" if keys else "")
        how += " --insecure" if experiment.network.insecure else ""
        if beside is not None:
            beside.follow(address, str(keys) if keys else None, insecure=experiment.network.insecure)
        view.note(f"broker {address}  (watch from another terminal: {how})")

    def on_event(event: dict[str, Any]) -> None:
        endpoint.count(event)
        export(event)
        view.event(event)

    on_target = partial(view.note_target, experiment.data)
    try:
        async with endpoint.open(view.note), exporting(targets, folders) as export, view.running():
            for line in places_of(targets):
                view.note(line)
            return await start(
                experiment, on_event=on_event, on_address=on_address, on_target=on_target, progress=False, **options
            )
    finally:
        if beside is not None and folders:
            beside.ended(folders[-1])
