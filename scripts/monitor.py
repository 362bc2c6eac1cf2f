"""``nervenet monitor``: watch a running system from outside, without slowing it down."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import logs
from .addresses import to_dial
from .http_options import check_used, endpoint_option, http_access_options
from .logs import log_options
from .metrics_endpoint import NOWHERE, Endpoint, endpoint_of, metrics_option
from .options import every_option, insecure_flag
from .web_server import DEFAULT as WEB

if TYPE_CHECKING:
    from collections.abc import Callable

    from nervenet.nodes.runtime.event_types import AnyEvent

    from .following import Record
    from .views import View

DEFAULT_BROKER = "tcp://127.0.0.1:5555"


@click.command()
@click.argument("recorded", metavar="[RUN|FILE]…", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--broker",
    metavar="ADDRESS",
    callback=to_dial,
    help=f"The broker's directory. [default: that of the newest run below runs/, else {DEFAULT_BROKER}]",
)
@click.option("--run", metavar="NAME", help="Only this run. [default: all]")
@click.option("--topics", metavar="PREFIX,…", default="", help="Only events whose type begins so. [default: all]")
@click.option("--json", is_flag=True, help="Every event as a JSON line on standard output.")
@click.option("--record", metavar="FILE", type=click.Path(path_type=Path), help="Also append every event to this file.")
@click.option("--keys", metavar="DIR", help="Folder of the key to watch by; see nervenet keys. [default: that run's]")
@click.option("--name", metavar="NAME", help="Which key of that folder. [default: the only one, or that of monitor]")
@insecure_flag
@every_option
@click.option("--stay", is_flag=True, help="Go on watching for further runs after the last one has ended.")
@endpoint_option("web", WEB, "Show it as a page for browsers, there.")
@metrics_option
@http_access_options
@log_options
def monitor(
    recorded: tuple[Path, ...],
    broker: str | None,
    run: str | None,
    topics: str,
    json: bool,
    record: Path | None,
    stay: bool,
    keys: str | None,
    name: str | None,
    insecure: bool,
    every_s: float | None,
    web: str | None,
    metrics: str | None,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Watch a running system; attach and detach at will.

    Shows the newest run; ends when every run that it saw has ended. With --web it shows it to browsers, until it is
    ended; of a RUN folder or a FILE that was recorded, too, and of several to compare them.
    """
    if keys is not None and insecure:
        raise click.UsageError("--keys and --insecure exclude each other: leave one of them out")
    if (missing := next((path for path in recorded if not path.exists()), None)) is not None:
        hint = "--run names one that goes on, and --broker where"
        raise click.UsageError(f"{missing}: there is no such file or run folder; {hint}")
    if recorded and (web is None or broker is not None):
        ways = "by --web without --broker, and on a terminal by nervenet replay"
        raise click.UsageError(f"{recorded[0]}: a run folder or a file is shown {ways}")
    check_used({"--web": web, "--metrics": metrics}, token_file, tls_cert, tls_key)
    if web is not None:
        others: dict[str, Any] = {
            "--metrics": metrics,
            "--topics": topics,
            "--json": json,
            "--record": record,
            "--stay": stay,
        }
        others |= {"--every": every_s, **({"--run": run, "--keys": keys, "--name": name} if recorded else {})}
        if (other := next((option for option, said in others.items() if said), None)) is not None:
            raise click.UsageError(f"--web does nothing with {other}: leave one of them out, or start two monitors")
        from .web_server import open_place
        from .web_view import show_broker, show_recorded

        place = open_place(web, token_file, tls_cert, tls_key, insecure=insecure)
        with place.listener:
            if recorded:
                show_recorded(place, recorded)
            else:
                show_broker(place, broker, run, _found, keys=keys, name=name, insecure=insecure)
        return
    watch(
        broker,
        topics=topics,
        run=run,
        json=json,
        every_s=every_s,
        record=record,
        stay=stay,
        keys=keys,
        name=name,
        insecure=insecure,
        endpoint=endpoint_of(metrics, token_file, tls_cert, tls_key, insecure=insecure),
    )


def watch(
    broker: str | None,
    *,
    topics: str = "",
    run: str | None = None,
    quiet: bool = False,
    json: bool = False,
    every_s: float | None = None,
    record: Path | None = None,
    stay: bool = False,
    endpoint: Endpoint = NOWHERE,
    **secured: Any,
) -> None:
    """Watch until every run that was seen has ended; see `monitor`."""
    from .following import Record
    from .signals import run as run_until_signal
    from .view_choice import choose_view

    secured = {"keys": None, "name": None, "insecure": False} | secured
    prefixes = tuple(part.strip() for part in topics.split(","))
    view = choose_view(quiet=quiet, json=json, every_s=every_s, watches=True)
    view.only_shows = record is None and endpoint.metrics is None
    with contextlib.ExitStack() as stack:
        file = None if record is None else stack.enter_context(Record(record))
        run_until_signal(lambda: _watch(view, broker, prefixes, run, file, endpoint, stay=stay, **secured))


async def _found(say: Callable[[str], None], keys: str | None, *, insecure: bool) -> tuple[str, dict[str, Any]]:
    """Return the address of the newest run's broker, and how it is secured."""
    from nervenet.nodes.results.newest_run import RUNS, find_broker

    found = await find_broker(say)
    if found is None:
        say(f"no run below {RUNS}/ goes on: waiting for one at {DEFAULT_BROKER} (--broker says where else)")
    address, run_keys = found or (DEFAULT_BROKER, None)
    # With the keys of the run found it is encrypted.
    return address, {"keys": keys or run_keys, "insecure": insecure and run_keys is None}


async def _watch(
    view: View,
    broker: str | None,
    topics: tuple[str, ...],
    run: str | None,
    record: Record | None,
    endpoint: Endpoint,
    *,
    stay: bool,
    **secured: Any,
) -> None:
    from nervenet.nodes.monitoring.monitor import Monitor

    from .following import follow
    from .output import INSECURE, warn

    address = broker
    if address is None:
        address, found = await _found(view.note, secured["keys"], insecure=secured["insecure"])
        secured |= found
    if secured["insecure"]:
        warn(INSECURE, "insecure")
    view.note(f"watching {address}")

    def look(event: AnyEvent) -> None:
        endpoint.count(event)
        logs.seen(event.raw)
        _find_files(view, address, event)

    watching = Monitor(address, topics=topics, run=run, **secured)
    async with endpoint.open(view.note), view.running(), watching as events:
        await follow(view, events, record, stay=stay, look=look)


def _find_files(view: View, address: str, event: AnyEvent) -> None:
    """Find where the run's files are, if they are on this machine; its folder says so when all nodes are ready."""
    if not view.files and event.type in ("run.started", "node.ready", "run.completed", "run.failed"):
        from nervenet.nodes.results.newest_run import run_of_broker

        view.files = str(run_of_broker(address) or "")
