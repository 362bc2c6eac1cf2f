"""The allow-list: a folder with a file for each public key that may connect, and what it may do.

A file that cannot be read or is no entry allows nobody, and is reported; so do two files for one name or for one key:
nobody can say which is meant.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import KeysError
from .keys import PUBLIC, make_folder, parse, public_text, read_file, read_public, write_atomically
from .roles import OF_LAUNCH, ROLES

FOLDER = "allowed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key that is allowed: the name it is bound to, the key in Z85, and its roles."""

    name: str
    public: str
    roles: frozenset[str]


@dataclass(frozen=True)
class AllowList:
    """The entries of a folder, by name and by key; ``problems`` are the files that allow nobody, and why."""

    by_name: Mapping[str, Entry] = field(default_factory=dict)
    by_key: Mapping[str, Entry] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[Entry], problems: Iterable[str] = ()) -> AllowList:
        """Return the list of some entries, without those of which two have one name or one key."""
        found = list(entries)
        said = list(problems)
        names, keys = Counter(each.name for each in found), Counter(each.public for each in found)
        said += [f"{name} has {count} keys, and none of them counts" for name, count in names.items() if count > 1]
        for key, count in keys.items():
            if count > 1:
                owners = ", ".join(sorted({each.name for each in found if each.public == key}))
                said.append(f"one key is allowed {count} times, and does not count: {owners}")
        single = [each for each in found if names[each.name] == 1 and keys[each.public] == 1]
        return cls({each.name: each for each in single}, {each.public: each for each in single}, tuple(sorted(said)))

    def of_role(self, role: str) -> list[Entry]:
        return [entry for _, entry in sorted(self.by_name.items()) if role in entry.roles]

    def without(self, newer: AllowList) -> list[Entry]:
        """Return the entries that a newer list has no longer, or with fewer roles."""
        still = newer.by_key
        return [
            entry
            for entry in self.by_key.values()
            if (now := still.get(entry.public)) is None or now.name != entry.name or not now.roles >= entry.roles
        ]


def parse_entry(content: bytes, where: str) -> Entry:
    """Return the entry of a file's content; raise `KeysError`, and nothing else, if it is none."""
    fields = parse(content, where, ("name", "public"))
    roles = fields.get("roles")
    if not isinstance(roles, list) or not roles or any(role not in (*ROLES, *OF_LAUNCH) for role in roles):
        shown = repr(roles)[:80]
        raise KeysError(f"{where}: roles = {shown}; expected a list of {', '.join(ROLES)}")
    if unknown := sorted(fields.keys() - {"name", "public", "roles"}):
        raise KeysError(f"{where}: unknown key {unknown[0][:40]!r}; expected name, public and roles")
    return Entry(fields["name"], fields["public"], frozenset(roles))


def read_allow_list(folder: Path) -> AllowList:
    """Read the allow-list in a folder of keys; one that is not there allows nobody."""
    place = folder / FOLDER
    entries, problems = list[Entry](), list[str]()
    try:
        if place.stat().st_mode & 0o022:
            return AllowList(problems=(f"{place}: others may write there: chmod go-w {place}",))
        files = sorted(path for path in place.iterdir() if path.name.endswith(PUBLIC) and path.name[0] != ".")
    except FileNotFoundError:
        return AllowList()
    except OSError as error:
        return AllowList(problems=(f"{place}: cannot be read: {error.strerror}",))
    for path in files:
        try:
            content, found = read_file(path)
            if found.st_mode & 0o022:
                raise KeysError(f"{path}: others may write it: chmod go-w {path}")
            entries.append(parse_entry(content, str(path)))
        except FileNotFoundError:
            continue  # revoked at this moment
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror}")
        except KeysError as error:
            problems.append(str(error))
    return AllowList.of(entries, problems)


def signature_of(folder: Path) -> tuple[object, ...]:
    """Return what changes whenever the allow-list of a folder may have changed."""
    place = folder / FOLDER
    try:
        own = place.stat()
        with os.scandir(place) as found:
            files = sorted((each.name, *_stamp(each.stat())) for each in found if each.name.endswith(PUBLIC))
        return (own.st_mode, own.st_ino, *files)
    except OSError as error:
        return (error.errno,)


def allow(folder: Path, public_file: Path, roles: Iterable[str]) -> Entry:
    """Allow the key of a ``.pub`` file; the same key again, with other roles, is allowed as those from then on.

    Raises
    ------
    KeysError
        It is no public key, no such role, or its name is bound to another key here.
    """
    name, public = read_public(public_file)
    wanted = tuple(sorted(set(roles)))
    for role in wanted or ("",):
        if role not in (*ROLES, *OF_LAUNCH):
            raise KeysError(f"--role {role}: expected one or more of {', '.join(ROLES)}")
    known = read_allow_list(folder)
    if (other := known.by_name.get(name)) is not None and other.public != public:
        raise KeysError(
            f"{public_file}: {name} has another key here ({other.public}); if that one is to go: "
            f"nervenet keys revoke {name}"
        )
    if (other := known.by_key.get(public)) is not None and other.name != name:
        raise KeysError(f"{public_file}: that key is allowed already, as {other.name}'s")
    try:
        make_folder(folder)
        make_folder(folder / FOLDER)
        write_atomically(folder / FOLDER / f"{name}{PUBLIC}", public_text(name, public, wanted))
    except OSError as error:
        raise KeysError(f"{folder / FOLDER}: cannot be written: {error.strerror}") from None
    return Entry(name, public, frozenset(wanted))


def revoke(folder: Path, name: str) -> None:
    """Allow a name no longer; raise `KeysError` if it is not allowed here."""
    path = folder / FOLDER / f"{name}{PUBLIC}"
    try:
        path.unlink()
    except FileNotFoundError:
        names = ", ".join(sorted(read_allow_list(folder).by_name)) or "nobody"
        raise KeysError(f"{name}: is not allowed in {folder}; there are: {names}") from None
    except OSError as error:
        raise KeysError(f"{path}: cannot be removed: {error.strerror}") from None


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode
