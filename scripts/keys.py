"""``nervenet keys``: a site's own key, and whom it allows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .whole_help import WholeHelp

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT = "keys"

_folder = click.option(
    "--keys",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="The folder of keys.",
)
_roles = click.option(
    "--role",
    "roles",
    metavar="ROLE,…",
    multiple=True,
    help="What the key may do here: client, peer, coordinator, aggregator, monitor, broker.",
)


@click.group(cls=WholeHelp, invoke_without_command=False)
def keys() -> None:
    """Make this site's key, and say whom it allows.

    A folder of keys is given to the other commands by --keys. A running node notices within a second who is allowed,
    and who no longer.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--out", "--keys", "folder", metavar="DIR", type=click.Path(path_type=Path), default=DEFAULT, show_default=True,
    help="Folder to put it in.")  # fmt: skip
@_roles
def new(name: str, folder: Path, roles: Sequence[str]) -> None:
    """Make the key of a node.

    NAME is that of the node in every run. The secret half stays where it is made, and only its owner can read it; the
    public half, NAME.pub, is for those who are to allow it. With --role it is allowed in its own folder, too: as what
    runs beside its owner, such as a broker and the coordinator of one machine.
    """
    from nervenet.broker.security.allow_list import allow as let_in
    from nervenet.broker.security.keys import new_key_pair, write_keys

    made = new_key_pair(name)
    _check(roles)
    secret, public = write_keys(folder, made)
    print(f"secret     {secret}  (stays here; only its owner can read it)")
    print(f"public     {public}  (for those who are to allow it: nervenet keys allow {public.name} --role ROLE)")
    if roles:
        let_in(folder, public, _split(roles))
        print(f"allowed    {name}  {', '.join(_split(roles))}")


@keys.command()
@click.argument("files", metavar="FILE.pub…", nargs=-1, required=True, type=click.Path(path_type=Path))
@_roles
@_folder
def allow(files: tuple[Path, ...], roles: Sequence[str], folder: Path) -> None:
    """Let the owners of public keys connect, in certain roles; at running nodes, too."""
    from nervenet.broker.security.allow_list import allow as let_in
    from nervenet.broker.security.keys import fingerprint
    from nervenet.nodes.runtime.printable import printable

    _check(roles, needed=True)
    for file in files:
        entry = let_in(folder, file, _split(roles))
        print(printable(f"allowed    {entry.name}  {', '.join(sorted(entry.roles))}  {entry.public}"))
        print(f"           fingerprint {fingerprint(entry.public)}")


@keys.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@_folder
def revoke(names: tuple[str, ...], folder: Path) -> None:
    """Let nodes connect no longer; running nodes cut them off within two seconds."""
    from nervenet.broker.security.allow_list import revoke as shut_out
    from nervenet.nodes.runtime.printable import printable

    for name in names:
        shut_out(folder, name)
        print(printable(f"revoked    {name}"))


@keys.command()
@click.argument("files", metavar="[FILE]…", nargs=-1, type=click.Path(path_type=Path))
@_folder
def show(files: tuple[Path, ...], folder: Path) -> None:
    """Show public keys: those of files, or this folder's own; the fingerprints to compare by telephone."""
    from nervenet.broker.errors import KeysError
    from nervenet.broker.security.keys import PUBLIC, fingerprint, read_public, read_secret, secrets_in
    from nervenet.nodes.runtime.printable import printable

    own = secrets_in(folder) if not files and folder.is_dir() else []
    if not files and not own:
        raise KeysError(f'{folder}: holds no key; one is made by "nervenet keys new NAME --out {folder}"')
    for path in files:
        name, public = read_public(path)
        print(printable(f"{name:<10} {public}"))
        print(f"{'':<10} fingerprint {fingerprint(public)}")
    for path in own:
        pair = read_secret(path)
        print(printable(f"{pair.name:<10} {pair.public}  {folder / pair.name}{PUBLIC}"))
        print(f"{'':<10} fingerprint {fingerprint(pair.public)}")


@keys.command(name="list")
@_folder
def list_(folder: Path) -> None:
    """List whom this folder allows, and what is wrong with it."""
    from nervenet.broker.errors import KeysError
    from nervenet.broker.security.allow_list import read_allow_list
    from nervenet.nodes.runtime.printable import printable

    found = read_allow_list(folder)
    for _, entry in sorted(found.by_name.items()):
        print(printable(f"{entry.name:<20} {', '.join(sorted(entry.roles)):<24} {entry.public}"))
    if found.problems:
        raise KeysError("\n".join(found.problems))
    if not found.by_name:
        print(printable(f"nobody is allowed in {folder}"))


def _split(roles: Sequence[str]) -> list[str]:
    return [role.strip() for each in roles for role in each.split(",") if role.strip()]


def _check(roles: Sequence[str], *, needed: bool = False) -> None:
    from nervenet.broker.errors import KeysError
    from nervenet.broker.security.roles import ROLES

    wrong = [role for role in _split(roles) if role not in ROLES]
    if wrong or (needed and not _split(roles)):
        found = f"--role {wrong[0]}" if wrong else "--role is missing"
        raise KeysError(f"{found}: expected one or more of {', '.join(ROLES)}")
