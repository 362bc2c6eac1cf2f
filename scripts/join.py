"""``nervenet join``: shows what an invitation asks of a site, makes its key, and starts its node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .logs import log_options
from .options import experiment_flags
from .output import say, tell

if TYPE_CHECKING:
    from nervenet.nodes.config.schema import Experiment
    from nervenet.nodes.joining.invitation import Invitation

COLUMNS = ("target", "drop", "id", "weight", "categorical", "numeric", "date")
ITS_OWN = tuple(f"data.{key}" for key in COLUMNS)


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("own_file", metavar="[OWN.toml]", type=click.Path(path_type=Path), required=False)
@click.option("--data", metavar="FILE", help="The file of this site's rows, which never leaves it: .csv, .parquet, …")
@click.option("--keys", "folder", metavar="DIR", type=click.Path(path_type=Path), help="[default: the site's name]")
@click.option("--yes", is_flag=True, help="Accept what is shown, without being asked.")
@click.option("--no-start", is_flag=True, help="Make the key and allow those of the invitation; start nothing.")
@click.option("--advertise", metavar="HOST", help="Peer: where others reach it; it then listens on every interface.")
@click.option("--replace", is_flag=True, help="Take the name from another node, even if that one still answers.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder for what this node ends up with.")
@click.option("--resume", metavar="RUN", type=click.Path(path_type=Path), help="Continue from this node's run folder.")
@click.option(
    "--site",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="This site's own file, of the table [site] alone: what it takes part in, whatever it is invited to.",
)
@click.option("--quiet", is_flag=True, help="No progress; the result in one line.")
@click.option(
    "--json", is_flag=True, help="This node's events as JSON lines (--no-start: its key); the rest on stderr."
)
@log_options
@experiment_flags(only=ITS_OWN)
def join(
    overrides: dict[str, object],
    file: Path,
    own_file: Path | None,
    data: str | None,
    folder: Path | None,
    yes: bool,
    no_start: bool,
    advertise: str | None,
    replace: bool,
    out: Path | None,
    resume: Path | None,
    site: Path | None,
    quiet: bool,
    json: bool,
) -> None:
    """Take part in a run by an invitation.

    FILE is an invitation, as nervenet invite writes it. It is shown what would leave this site, and to whom; with your
    consent the site's key is made, which stays in its folder, and the node starts. It waits until the hub's owner has
    admitted the key. Run it again with a newer invitation to take further keys.

    OWN.toml is an experiment file with this site's own keys alone, such as [data]; options win over it.

    \b
    nervenet join north.invite.toml --data north.csv --target outcome
    nervenet join north.invite.toml --data north.csv --advertise north.example.org    # a peer
    nervenet join north.invite.toml --no-start --yes                                  # the keys alone
    """
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.config.schema import Experiment
    from nervenet.nodes.experiment.loader import read_site, read_tables
    from nervenet.nodes.joining.disclosure import disclosure
    from nervenet.nodes.joining.invitation import read_invitation
    from nervenet.nodes.joining.shared_part import site_experiment, with_own
    from nervenet.nodes.joining.site_keys import accept_keys, plan_keys
    from nervenet.nodes.joining.site_rows import rows_of
    from nervenet.nodes.results.run_dir import check_run_dir

    from .invitation_text import about, as_json, leaving, of_keys, of_policy, watching, what_next

    invitation = read_invitation(file)
    keys = folder or Path(invitation.name)
    plan = plan_keys(keys, invitation, str(file))
    if invitation.role == "monitor":
        its_own = {"OWN.toml": own_file, "--data": data, "--advertise": advertise, "--resume": resume, "--site": site}
        given = [option for option, value in its_own.items() if value is not None]
        given += [*(["--replace"] if replace else []), *(["--out"] if out is not None else []), *overrides]
        if given:
            raise click.UsageError(f"{given[0]}: is for who takes part, and {invitation.name} is invited to watch")
        _print([*about(file, invitation, None), *watching(), *of_keys(plan)], json)
        if not yes:
            _ask(invitation)
        made = accept_keys(plan, str(file))
        _print(what_next(plan, made, invitation), json)
        if no_start and json:
            print(as_json(plan, made, invitation))
        if not no_start:
            from .monitor import watch

            watch(invitation.broker, run=invitation.run, keys=str(keys), quiet=quiet, json=json)
        return
    overrides |= {} if data is None else {"data.name": data}
    own = {**overrides, "network.keys": str(keys)} | _listening(invitation, overrides, advertise)
    said = {} if own_file is None else read_tables(own_file)
    tables = with_own(invitation.experiment, said, own, invitation.hub)
    if site is not None:
        tables["site"] = read_site(site, own)
    planned = Experiment.from_dict(tables)
    rows = None
    if not no_start:
        if resume is not None:
            check_run_dir(resume, out=out)
        _check_start(invitation, tables, planned)
        rows = rows_of(planned)
    shown = disclosure(invitation, planned, rows.rows if rows is not None and rows.columns else None)
    _print([*about(file, invitation, shown), *leaving(shown, rows), *of_policy(shown), *of_keys(plan)], json)
    if shown.declined:
        raise ExperimentError(
            f"{shown.declined[0]}; this site's own policy does not admit the run: nothing was written"
        )
    if not yes:
        _ask(invitation)
    experiment = site_experiment(tables)
    made = accept_keys(plan, str(file))
    _print(what_next(plan, made, invitation), json)
    if no_start:
        if json:
            print(as_json(plan, made, invitation))
        return
    from .node import take_part

    take_part(
        invitation.role,
        experiment,
        quiet=quiet,
        json=json,
        again=f"nervenet node {invitation.role} --broker {invitation.broker} --keys {keys} --run {invitation.run}",
        broker=invitation.broker,
        seed_peer="",
        run=invitation.run,
        name=invitation.name,
        replace=replace,
        out=out,
        resume=resume,
        patient="join_deadline_s" not in tables.get("network", {}),
    )


def _listening(invitation: Invitation, overrides: dict[str, object], advertise: str | None) -> dict[str, object]:
    """Return where a peer listens: everywhere, if others reach it by a name and nothing else is said."""
    if advertise is None:
        return {}
    if invitation.role == "client":
        raise click.UsageError(f"--advertise {advertise}: is for peers; nobody dials a client")
    return {"network.bind": "0.0.0.0", "network.advertise": advertise} | overrides


def _check_start(invitation: Invitation, tables: Mapping[str, Any], experiment: Experiment) -> None:
    """Raise `ExperimentError` for what would only be noticed after somebody has been asked."""
    from nervenet.broker.security.plain import is_local
    from nervenet.nodes.config.keys import ExperimentError

    if "name" not in tables.get("data", {}):
        raise ExperimentError("--data is missing: the file of this site's rows; --no-start makes the key and no more")
    bind = experiment.network.bind
    if invitation.role == "peer" and not is_local(invitation.broker) and is_local(f"tcp://{bind}:1"):
        raise ExperimentError(f"network.bind = {bind!r}: the other peers dial this one; expected --advertise HOST")


def _ask(invitation: Invitation) -> None:
    from nervenet.nodes.joining.invitation import InvitationError

    from .prompt import Declined, NobodyToAsk, confirm

    try:
        accepted = confirm(f"{'Watch' if invitation.role == 'monitor' else 'Take part'} as {invitation.name}?")
    except NobodyToAsk:
        raise InvitationError(
            "nobody can be asked here, since standard input is no terminal: nothing was written; --yes accepts what is "
            "shown above"
        ) from None
    if not accepted:
        raise Declined(f"{invitation.name} takes no part in {invitation.run}: nothing was written")


def _print(lines: Iterable[str], json: bool) -> None:
    for line in lines:
        (tell if json else say)(line)
