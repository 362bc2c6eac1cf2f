"""The allow-list: a folder with a file for each public key that may connect, and what it may do.

A file that cannot be read, is no entry or is called otherwise than its owner allows nobody, and is reported; so do two
files for one key: nobody can say which is meant. So does all of a folder that others may write.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import KeysError
from .keys import (
    PUBLIC,
    check_name,
    check_owned,
    make_folder,
    parse,
    public_text,
    read_file,
    read_public,
    write_atomically,
)
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
        for each in (folder, place):  # who may write in the first one can put another in the place of the second
            check_owned(each, each.stat())
        files = sorted(path for path in place.iterdir() if _counts(path.name))
    except FileNotFoundError:
        return AllowList()
    except KeysError as error:
        return AllowList(problems=(str(error),))
    except OSError as error:
        return AllowList(problems=(f"{place}: cannot be read: {error.strerror}",))
    for path in files:
        try:
            entries.append(_read_entry(path))
        except FileNotFoundError:
            if path.is_symlink():  # otherwise it is revoked at this moment
                problems.append(f"{path}: is a link to a file that is not there")
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror}")
        except KeysError as error:
            problems.append(str(error))
    return AllowList.of(entries, problems)


def _read_entry(path: Path) -> Entry:
    content, found = read_file(path)
    check_owned(path, found)
    entry = parse_entry(content, str(path))
    if path.stem != entry.name:  # whoever revokes a name removes the file that is called so
        raise KeysError(f"{path}: is the key of {entry.name}; expected it in {entry.name}{PUBLIC}")
    return entry


def _counts(name: str) -> bool:
    """Return whether a file of the folder is meant as an entry; editors keep hidden ones beside it."""
    return name.endswith(PUBLIC) and name[0] != "."


def signature_of(folder: Path) -> tuple[object, ...]:
    """Return what changes whenever the allow-list of a folder may have changed."""
    place = folder / FOLDER
    try:
        own = [(found.st_mode, found.st_uid, found.st_ino) for found in (folder.stat(), place.stat())]
        with os.scandir(place) as inside:
            files = sorted((each.name, _stamp(each)) for each in inside if _counts(each.name))
        return (*own, *files)
    except OSError as error:
        return (error.errno,)


def allow(folder: Path, public_file: Path, roles: Iterable[str]) -> Entry:
    """Allow the key of a ``.pub`` file; the same key again, with other roles, is allowed as those from then on.

    Raises
    ------
    KeysError
        It is no public key, no such role, or its name is bound to another key here; others may write in the folder,
        or the list does not allow it after all.
    """
    name, public = read_public(public_file)
    wanted = frozenset(roles)
    for role in sorted(wanted) or ("",):
        if role not in (*ROLES, *OF_LAUNCH):
            raise KeysError(f"--role {role}: expected one or more of {', '.join(ROLES)}")
    return allow_entry(folder, Entry(name, public, wanted), str(public_file))


def check_free(known: AllowList, entry: Entry, where: str) -> None:
    """Raise `KeysError` where an allow-list has another key of the entry's name, or its key under another name."""
    name = entry.name
    if (other := known.by_name.get(name)) is not None and other.public != entry.public:
        raise KeysError(
            f"{where}: {name} has another key here ({other.public}); if that one is to go: nervenet keys revoke {name}"
        )
    if (other := known.by_key.get(entry.public)) is not None and other.name != name:
        raise KeysError(f"{where}: the key of {name} is allowed already, as {other.name}'s")


def allow_entry(folder: Path, entry: Entry, where: str) -> Entry:
    """Allow a key, as `allow` does that of a file; `where` it is from begins what is said against it."""
    check_free(read_allow_list(folder), entry, where)
    name = entry.name
    path = folder / FOLDER / f"{name}{PUBLIC}"
    try:
        make_folder(folder)
        make_folder(folder / FOLDER)
        write_atomically(path, public_text(name, entry.public, tuple(sorted(entry.roles))))
    except OSError as error:
        raise KeysError(f"{folder / FOLDER}: cannot be written: {error.strerror}") from None
    now = read_allow_list(folder)
    if now.by_name.get(name) != entry:
        why = [each for each in now.problems if name in each] or now.problems or ("it has been changed since",)
        raise KeysError(f"{path}: was written, but does not count: {'; '.join(why)}")
    return entry


def revoke(folder: Path, name: str) -> None:
    """Allow a name no longer; raise `KeysError` if it is not allowed here."""
    path = folder / FOLDER / f"{check_name(name)}{PUBLIC}"
    try:
        path.unlink()
    except FileNotFoundError:
        names = ", ".join(sorted(read_allow_list(folder).by_name)) or "nobody"
        raise KeysError(f"{name}: is not allowed in {folder}; there are: {names}") from None
    except OSError as error:
        raise KeysError(f"{path}: cannot be removed: {error.strerror}") from None


def _stamp(file: os.DirEntry[str]) -> tuple[int, ...]:
    """Return what changes with a file, and with what it links to; one that cannot be looked at hides no other."""
    stamp = list[int]()
    for follow in (False, True):
        try:
            found = file.stat(follow_symlinks=follow)
        except OSError as error:
            stamp.append(error.errno or 0)
        else:
            stamp += found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode
    return tuple(stamp)
