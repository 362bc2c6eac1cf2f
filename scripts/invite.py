"""``nervenet invite``: a file with all that a site needs in order to take part in a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .addresses import to_dial
from .options import as_flags, experiment_flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nervenet.nodes.config.schema import Experiment
    from nervenet.nodes.joining.invitation import Invitation

NOT_OF_RUN = (
    *("sites", "processes", "keys", "init", "data", "partition", "alpha", "shards-per-node"),
    *("regions", "region-rounds"),
)
"""Options of a launch that an invitation has no use for: of a site's own rows, and of who starts its coordinator."""


@click.command()
@click.argument("words", metavar="NAME… [EXPERIMENT.toml]", nargs=-1, required=True)
@click.option(
    "--broker",
    metavar="ADDRESS",
    callback=to_dial,
    required=True,
    help="The broker's directory, as the sites reach it.",
)
@click.option("--run", metavar="NAME", required=True, help="The run, the same name at all its nodes.")
@click.option(
    "--role", type=click.Choice(("client", "peer", "monitor")), help="What the site is. [default: as the mode has it]"
)
@click.option(
    "--keys",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default="keys",
    show_default=True,
    help="The hub's folder of keys; those that it allows as broker and coordinator, or peers, go into the invitation.",
)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="[default: NAME.invite.toml]")
@click.option("--json", is_flag=True, help="What was written as JSON, a line for each site.")
@experiment_flags(*NOT_OF_RUN)
def invite(
    overrides: dict[str, object],
    words: tuple[str, ...],
    broker: str,
    run: str,
    role: str | None,
    folder: Path,
    out: Path | None,
    json: bool,
) -> None:
    """Invite sites to a run: a file for each, without a secret, to be sent by mail.

    NAME is the site's name in the run. EXPERIMENT.toml, or the same options as at nervenet node, say what all sites
    have in common; a site adds only what is its own. At the site: nervenet join NAME.invite.toml --data FILE.

    A peer needs the keys of all others: when those have come, and are allowed here, invite again. A monitor watches the
    run, and takes no part in it: nothing of an experiment is said to it.

    \b
    nervenet invite north south --broker tcp://hub.example.org:5555 --run flowers --nodes 2 --keys hub
    nervenet invite north flowers.toml --broker tcp://hub.example.org:5555 --run flowers --keys hub
    nervenet invite desk --role monitor --broker tcp://hub.example.org:5555 --run flowers --keys hub
    """
    from nervenet.nodes.joining.invitation import SUFFIX
    from nervenet.nodes.joining.inviting import invite as make
    from nervenet.nodes.joining.inviting import write_invitation

    from .output import say

    names, file = _names_and_file(words)
    if out is not None and len(names) > 1:
        raise click.UsageError(f"--out {out}: is for one site, and there are {len(names)}")
    experiment = _experiment(file, overrides, role)
    made = [make(name, experiment, run=run, broker=broker, folder=folder) for name in names]
    for invitation in made:
        path = out or Path(f"{invitation.name}{SUFFIX}")
        write_invitation(path, invitation)
        if json:
            print(_as_json(path, invitation))
        else:
            say(f"invitation  {path}  (holds no secret, and may go by mail)")
            say(f"fingerprint {invitation.fingerprint}  (of the file: to compare by telephone)")
    if not json:
        _say_what_next(made, file, overrides, folder)


def _names_and_file(words: Sequence[str]) -> tuple[list[str], Path | None]:
    """Return the names of sites, and the experiment file that may stand behind them: no name has a slash."""
    *names, last = words
    if last.endswith(".toml") or "/" in last:
        if not names:
            raise click.UsageError(f"NAME is missing before {last}: who is invited?")
        return names, Path(last)
    return list(words), None


def _experiment(file: Path | None, overrides: dict[str, object], role: str | None) -> Experiment | None:
    if role == "monitor":
        if said := [*([str(file)] if file is not None else []), *overrides]:
            raise click.UsageError(f"{said[0]}: a monitor takes part in no run, and is told of no experiment")
        return None
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.experiment.loader import load_experiment
    from nervenet.nodes.joining.shared_part import ROLE_OF

    mode_of = {value: key for key, value in ROLE_OF.items()}
    wins = dict(overrides)
    if role is not None and wins.setdefault("mode", mode_of[role]) != mode_of[role]:
        raise ExperimentError(f"--mode {wins['mode']}: a {role} takes part in {mode_of[role]} runs")
    return load_experiment(file, wins)


def _as_json(path: Path, invitation: Invitation) -> str:
    import json

    told = ("name", "role", "run", "broker", "fingerprint")
    known = {key: getattr(invitation, key) for key in told}
    return json.dumps({"file": str(path), **known, "keys": sorted(invitation.keys), "admission": invitation.admission})


def _say_what_next(made: Sequence[Invitation], file: Path | None, overrides: dict[str, object], folder: Path) -> None:
    import shlex

    from nervenet.broker.security.plain import is_local
    from nervenet.nodes.joining.inviting import missing_peers

    from .output import say, warn

    first = made[0]
    listed = "; ".join(f"{name} ({', '.join(key.roles)})" for name, key in first.keys.items())
    say(f"names       {listed}")
    say(f"admit       {first.admission}  (once {first.name}.pub has come, and its fingerprint is the one that is told)")
    if first.role == "client":
        host = first.broker.removeprefix("tcp://").rpartition(":")[0]
        words = [str(file)] if file is not None else []
        words += ["--broker", first.broker, "--run", first.run, "--keys", str(folder)]
        words += [] if is_local(first.broker) else ["--advertise", host, "--set", "network.bind=0.0.0.0"]
        with_flags = f" {as_flags(overrides)}" if overrides else ""
        say(f"coordinator nervenet node coordinator {shlex.join(words)}{with_flags}")
    if is_local(first.broker):
        warn(f"{first.broker} is this machine, and no other reaches it")
    if missing := missing_peers(first):
        warn(
            f"{missing} of the other {first.experiment['nodes'] - 1} peers have no key here yet: when theirs are "
            "allowed, invite again, and each site joins again to take them"
        )
