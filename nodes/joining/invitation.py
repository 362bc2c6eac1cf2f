"""An invitation: one readable file, without a secret, with all that a site needs in order to take part in a run."""

from __future__ import annotations

import json
import os
import shlex
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta
from nervenet.broker.errors import BadAddress, KeysError
from nervenet.broker.security.keys import check_name, fingerprint, is_public_key
from nervenet.broker.security.roles import ROLES
from nervenet.broker.sockets import advertised, split_bind
from nervenet.models.plugins import suggest

from ..config.keys import ExperimentError, convert
from ..config.ranges import Text
from ..runtime.identity import RESERVED
from ..runtime.printable import printable
from .shared_part import check_part

FORMAT = 1
SUFFIX = ".invite.toml"
MOST_BYTES = 262_144
MOST_DOTS = 32  # in a line: of a key with all its tables, and of a number

DIALED = {"client": ("broker", "coordinator"), "peer": ("broker", "peer"), "monitor": ("broker",)}
"""As what a site of a role has to allow the keys of others."""


class InvitationError(ValueError):
    """An invitation that cannot be used, or made: what was found, what is expected, and who can mend it."""

    page = "invitation-unusable"


@dataclass(frozen=True, kw_only=True)
class InvitedKey:
    """A public key that the site has to allow, and as what."""

    public: str
    roles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """What a site is told: its name in the run, where that is, whom it will talk to, and what all sites agree on.

    A monitor is told nothing of the last: it watches, and takes no part.
    """

    format: int = FORMAT
    nervenet: Text  # the version that wrote it
    name: Text
    role: Literal["client", "peer", "monitor"]
    run: Annotated[str, Meta(min_length=1, max_length=128)]
    broker: Text  # the address of its directory
    folder: Text  # of keys, at the hub: where its owner admits the site
    keys: dict[str, InvitedKey] = field(default_factory=dict)  # by name
    experiment: dict[str, Any] = field(default_factory=dict)  # the tables of an experiment file: see shared_part
    fingerprint: str = ""  # of all the rest

    @property
    def hub(self) -> str:
        """The name of the broker's key: who is to be asked."""
        return self.of_role("broker")[0]

    @property
    def admission(self) -> str:
        """The command by which the hub's owner lets the site in."""
        return f"nervenet keys allow {self.name}.pub --role {self.role} --keys {shlex.quote(self.folder)}"

    def of_role(self, role: str) -> list[str]:
        return sorted(name for name, key in self.keys.items() if role in key.roles)

    def to_tables(self) -> dict[str, Any]:
        tables = asdict(self)
        tables["keys"] = {name: {**key, "roles": list(key["roles"])} for name, key in tables["keys"].items()}
        return tables

    def to_text(self) -> str:
        """Return the text of the file."""
        import tomli_w

        watches = self.role == "monitor"
        return (
            f"# nervenet: an invitation for {self.name} to {'watch' if watches else 'take part in'} the run "
            f"{printable(self.run)}.\n"
            "# It holds no secret, and may go by mail; every line of it counts for its fingerprint.\n"
            f"# At the site: nervenet join {self.name}{SUFFIX}{'' if watches else ' --data FILE'}\n\n"
            f"{tomli_w.dumps(self.to_tables())}"
        )


def sealed(invitation: Invitation) -> Invitation:
    """Return a checked invitation with its fingerprint.

    Raises
    ------
    InvitationError
    """
    _check(invitation)
    tables = tomllib.loads(invitation.to_text())  # as who reads it finds them
    return replace(invitation, fingerprint=_fingerprint(tables))


def read_invitation(path: Path) -> Invitation:
    """Read the file of an invitation; nothing that it names is imported or looked for.

    Raises
    ------
    InvitationError
        It is missing, no invitation, one of another format, or was changed since it was written.
    """
    tables = _tables(path)
    try:
        found = _invitation(tables)
        _check(found)
    except (InvitationError, ExperimentError) as error:
        raise InvitationError(f"{path}: {error}") from None
    if (now := _fingerprint(tables)) != found.fingerprint:
        raise InvitationError(
            f"{path}: was changed after it was written (fingerprint {found.fingerprint or 'missing'}, "
            f"its content has {now}); ask {found.hub} to send it again"
        )
    return found


def _tables(path: Path) -> dict[str, Any]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvitationError(f"{path}: is no file; expected an invitation, as nervenet invite writes it")
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        name = path.name.removesuffix(SUFFIX) if path.name.endswith(SUFFIX) else "NAME"
        made = f"nervenet invite {name}, which writes {name}{SUFFIX}"
        raise InvitationError(f"{path}: there is no such invitation; one is made at the hub, by {made}") from None
    except OSError as error:
        raise InvitationError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise InvitationError(f"{path}: has more than {MOST_BYTES:,} bytes; an invitation has a few thousand")
    try:
        text = content.decode()
        if (number := _deep_line(text)) is not None:
            raise ValueError(
                f"line {number} has more than {MOST_DOTS} points outside of texts, or another kind of text"
            )
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of TOML and of UTF-8
        raise InvitationError(f"{path}: is no invitation: {' '.join(str(error).split())[:100]}") from None


def _deep_line(text: str) -> int | None:
    """Return the number of the first line with a key that no invitation has, None if there is none.

    What reads TOML takes the square of the number of a key's parts: minutes for a key as long as a file may be. So
    they are counted, outside of texts; other kinds of texts than nervenet writes, which would have to be told apart,
    are refused.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("#"):
            continue
        bare = line.replace("\\\\", "").replace('\\"', "")
        outside = "".join(bare.split('"')[::2])
        if outside.count(".") > MOST_DOTS or "'" in outside or '"""' in bare:
            return number
    return None


def _invitation(tables: Mapping[str, Any]) -> Invitation:
    """Return the invitation that tables describe, every key of it known and of its type."""
    form = tables.get("format")
    if form is None:
        raise InvitationError("is no invitation: format is missing; nervenet invite writes one")
    if form != FORMAT or isinstance(form, bool):
        written = str(tables.get("nervenet", "another version"))[:40]
        raise InvitationError(
            f"format = {str(form)[:20]}, written by nervenet {written}; this one reads format {FORMAT}: "
            "both sides need the same version"
        )
    _check_known(tables, Invitation, "")
    keys = tables.get("keys")
    for name, key in keys.items() if isinstance(keys, Mapping) else ():
        if isinstance(key, Mapping):
            _check_known(key, InvitedKey, f"keys.{name[:64]}.")
    return convert(tables, Invitation)


def _check_known(found: Mapping[str, Any], kind: type, prefix: str) -> None:
    known = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    for key in found:
        if key not in known:
            hint = suggest(key, known) or f"; there are {', '.join(known)}"
            raise InvitationError(f"{prefix}{key[:64]}: there is no such key{hint}")


def _check(invitation: Invitation) -> None:
    """Raise `InvitationError` for what no invitation says, though each key by itself could be so."""
    keys, role = invitation.keys, invitation.role
    try:
        for name in (invitation.name, *keys):
            check_name(name)
    except KeysError as error:
        raise InvitationError(str(error)) from None
    for name in (invitation.name, *keys):
        if name in RESERVED:
            raise InvitationError(f"the name {name!r}: {', '.join(sorted(RESERVED))} are reserved")
    if invitation.name in keys:
        raise InvitationError(f"keys.{invitation.name}: is the name of who is invited; expected the keys of others")
    for name, key in keys.items():
        if not is_public_key(key.public):
            raise InvitationError(f"keys.{name}.public: is no key; expected the 40 characters of one")
        wrong = [each for each in key.roles if each not in DIALED[role]]
        if wrong or not key.roles:
            found = wrong[0] if wrong and wrong[0] in ROLES else "no role"
            allowed = " and ".join(DIALED[role])
            raise InvitationError(f"keys.{name}.roles: found {found}; a {role} allows others as {allowed}")
    if len({key.public for key in keys.values()}) < len(keys):
        raise InvitationError("keys: one key stands under two names")
    for needed, most in (("broker", 1), *((("coordinator", len(keys)),) if role == "client" else ())):
        if not 1 <= len(invitation.of_role(needed)) <= most:
            raise InvitationError(f"keys: {len(invitation.of_role(needed))} with the role {needed}; expected one")
    try:
        scheme = invitation.broker.partition("://")[0]
        if scheme != "tcp":
            raise BadAddress(invitation.broker, "expected tcp://HOST:PORT")
        split_bind(invitation.broker, ("directory",))
        if invitation.broker.endswith((":0", ":*")):
            raise BadAddress(invitation.broker, "expected the port on which the broker listens")
        advertised(invitation.broker, None)
    except BadAddress as error:
        raise InvitationError(f"broker = {error}") from None
    check_part(invitation.experiment, role)


def _fingerprint(tables: Mapping[str, Any]) -> str:
    said = {key: value for key, value in tables.items() if key != "fingerprint"}
    return fingerprint(json.dumps(said, sort_keys=True, ensure_ascii=True, default=str))
