"""The making of invitations, at the hub: whose keys its folder allows, and what the experiment has in common."""

from __future__ import annotations

from pathlib import Path

from nervenet import __version__
from nervenet.broker.errors import KeysError
from nervenet.broker.security.allow_list import read_allow_list
from nervenet.broker.security.keys import SECRET, write_atomically

from ..config.schema import Experiment
from .invitation import DIALED, Invitation, InvitationError, InvitedKey, read_invitation, sealed
from .shared_part import ROLE_OF, shared_part


def invite(name: str, experiment: Experiment | None, *, run: str, broker: str, folder: Path) -> Invitation:
    """Return an invitation for a site to a run of this experiment; without one, to watch the run as a monitor.

    Parameters
    ----------
    name
        That of the site's key, and so of its node.
    broker
        The address of the broker's directory, as the site reaches it.
    folder
        The hub's keys. Those that it allows as the broker and the coordinator, or as peers, go into the invitation.

    Raises
    ------
    InvitationError, KeysError, ExperimentError
        Each names what is missing, and the command that adds it.
    """
    role = "monitor" if experiment is None else ROLE_OF[experiment.mode]
    if experiment is not None and experiment.network.insecure:
        raise InvitationError("network.insecure: an invitation is to a run with keys; without them, use nervenet node")
    allowed = read_allow_list(folder)
    if allowed.problems:
        raise KeysError("\n".join(allowed.problems))
    needed = ("broker", "coordinator") if role == "client" else ("broker",)
    for each in needed:
        if not allowed.of_role(each):
            raise KeysError(_missing(folder, each, ",".join(needed)))
    if len(brokers := allowed.of_role("broker")) > 1:
        names = ", ".join(entry.name for entry in brokers)
        raise KeysError(f"{folder}: several keys are allowed as broker ({names}); expected one")
    keys = {
        entry.name: InvitedKey(public=entry.public, roles=roles)
        for entry in allowed.by_name.values()
        if (roles := tuple(each for each in DIALED[role] if each in entry.roles)) and entry.name != name
    }
    if name in allowed.by_name and role not in allowed.by_name[name].roles:
        has = ", ".join(sorted(allowed.by_name[name].roles))
        raise InvitationError(
            f"{name}: is allowed in {folder} as {has}; a site that is invited as {role} has its own name"
        )
    return sealed(
        Invitation(
            nervenet=__version__,
            name=name,
            role=role,  # type: ignore[arg-type]
            run=run,
            broker=broker,
            folder=str(folder),
            keys=dict(sorted(keys.items())),
            experiment={} if experiment is None else shared_part(experiment),
        )
    )


def missing_peers(invitation: Invitation) -> int:
    """Return the keys of how many other peers an invitation lacks; 0 for a client, which dials no other."""
    if invitation.role != "peer":
        return 0
    return max(0, int(invitation.experiment["nodes"]) - 1 - len(invitation.of_role("peer")))


def write_invitation(path: Path, invitation: Invitation) -> None:
    """Write an invitation; only another one for the same site is replaced.

    Raises
    ------
    InvitationError
    """
    if path.exists():
        try:
            other = read_invitation(path).name
        except InvitationError:
            other = ""
        if other != invitation.name:
            what = f"an invitation for {other}" if other else "something else"
            raise InvitationError(f"{path}: is there already, and {what}; choose another file by --out FILE")
    try:
        write_atomically(path, invitation.to_text())
    except OSError as error:
        raise InvitationError(f"{path}: cannot be written: {error.strerror}") from None


def _missing(folder: Path, role: str, roles: str) -> str:
    own = sorted(path.stem for path in folder.glob(f"*{SECRET}"))
    if len(own) == 1:
        way = f"nervenet keys allow {folder / own[0]}.pub --role {roles} --keys {folder}"
    elif own:
        way = f"nervenet keys allow NAME.pub --role {role} --keys {folder}"
    else:
        way = f"nervenet keys new hub --role {roles} --out {folder}"
    return f"{folder}: allows no key as {role}, and an invitation says whom to trust as such: {way}"
