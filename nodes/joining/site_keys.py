"""The keys of a site that joins: what its folder holds already, what the invitation adds, and the writing of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nervenet.broker.errors import KeysError
from nervenet.broker.security.allow_list import FOLDER, Entry, allow_entry, check_free, read_allow_list
from nervenet.broker.security.keys import PUBLIC, SECRET, KeyPair, new_key_pair, read_secret, write_keys

from .invitation import Invitation


@dataclass(frozen=True)
class KeyPlan:
    """What would be written into a site's folder of keys, and what is there."""

    folder: Path
    name: str
    own: KeyPair | None  # None: it is made
    new: tuple[Entry, ...]  # that the site does not allow yet, or not in all these roles
    known: tuple[Entry, ...]  # of the invitation, that it allows already
    others: tuple[Entry, ...]  # that it allows, of which the invitation says nothing

    @property
    def secret_file(self) -> Path:
        return self.folder / f"{self.name}{SECRET}"

    @property
    def public_file(self) -> Path:
        return self.folder / f"{self.name}{PUBLIC}"


def plan_keys(folder: Path, invitation: Invitation, where: str) -> KeyPlan:
    """Return what accepting an invitation means for a folder of keys, and write nothing.

    `where` names the invitation.

    Raises
    ------
    KeysError
        The folder is no place for this key, or contradicts the invitation; nothing is overwritten.
    """
    own = _own_key(folder, invitation.name)
    allowed = read_allow_list(folder)
    if allowed.problems:
        raise KeysError("\n".join(allowed.problems))
    new, known = list[Entry](), list[Entry]()
    for name, key in sorted(invitation.keys.items()):
        roles = frozenset(key.roles)
        before = allowed.by_name.get(name)
        entry = Entry(name, key.public, roles | (before.roles if before is not None else frozenset()))
        check_free(allowed, entry, where)
        (known if before == entry else new).append(entry)
    others = tuple(each for name, each in sorted(allowed.by_name.items()) if name not in invitation.keys)
    for other in others:
        if "broker" in other.roles:
            raise KeysError(
                f"{folder}: allows another broker, {other.name}, and a folder is for one federation: choose another by "
                f"--keys DIR, or if that one is over: nervenet keys revoke {other.name} --keys {folder}"
            )
    return KeyPlan(folder, invitation.name, own, tuple(new), tuple(known), others)


def accept_keys(plan: KeyPlan, where: str) -> KeyPair:
    """Make the site's key if it has none, allow those of the invitation, and return its own.

    Raises
    ------
    KeysError
        The folder cannot be written.
    """
    own = plan.own
    if own is None:
        own = new_key_pair(plan.name)
        write_keys(plan.folder, own)
    for entry in plan.new:
        allow_entry(plan.folder, entry, where)
    return own


def _own_key(folder: Path, name: str) -> KeyPair | None:
    """Return the site's key, None if its folder is a place to make it in."""
    secret = folder / f"{name}{SECRET}"
    try:
        found = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeysError(
            f"{folder}: is no folder for the key of {name}: {error.strerror}; --keys DIR is another"
        ) from None
    if secret.name in found:
        own = read_secret(secret)
        if own.name != name:
            raise KeysError(f"{secret}: is the key of {own.name}; expected {name}, who is invited")
        return own
    if f"{name}{PUBLIC}" in found:
        raise KeysError(
            f"{secret}: is missing, though {name}{PUBLIC} is there: put it back, or for a new key, which has to be "
            f"admitted anew, remove {folder / name}{PUBLIC}"
        )
    if others := [each.removesuffix(SECRET) for each in found if each.endswith(SECRET)]:
        raise KeysError(
            f"{folder}: holds the key of {others[0]}, and {name} is invited; choose another folder by --keys DIR"
        )
    if set(found) - {FOLDER}:
        raise KeysError(
            f"{folder}: is there already, and no folder of keys (it holds {found[0]}); choose another by --keys DIR"
        )
    return None
