"""Key files: a secret that its owner alone can read, and the public half that others are given.

Both are TOML of a few lines. The keys are those of CurveZMQ (Curve25519), written in Z85: 40 characters for 32 bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from ..errors import KeysError

SECRET, PUBLIC = ".key", ".pub"
PART = ".part"  # of a hidden file that is being written; one that stays behind counts for nothing
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST = 4_096  # bytes; a key file has about 200


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A node's name and its two keys, in Z85; the secret is never shown."""

    name: str
    public: str
    secret: str = field(repr=False)


def new_key_pair(name: str) -> KeyPair:
    """Return new keys for a name; raise `KeysError` if no node can have it."""
    check_name(name)
    public, secret = zmq.curve_keypair()
    return KeyPair(name, public.decode(), secret.decode())


def check_name(name: str, where: str = "") -> str:
    if not _NAME.fullmatch(name):
        allowed = "1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"
        raise KeysError(f"{where}{': ' if where else ''}the name {name[:80]!r}: expected {allowed}")
    return name


def is_public_key(text: str) -> bool:
    return _Z85.fullmatch(text) is not None


def fingerprint(text: str) -> str:
    """Return half of the SHA-256 of a text, such as a public key, in eight groups: to be compared by telephone."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return " ".join(digest[start : start + 4] for start in range(0, 32, 4))


def write_keys(folder: Path, keys: KeyPair) -> tuple[Path, Path]:
    """Write both halves into a folder, which is made; return the paths of the secret and of the public one.

    Raises
    ------
    KeysError
        There is a secret of that name already; the folder cannot be written, or others may write there.
    """
    secret, public = folder / f"{keys.name}{SECRET}", folder / f"{keys.name}{PUBLIC}"
    try:
        make_folder(folder)
        write_secret(secret, keys)
        write_atomically(public, public_text(keys.name, keys.public))
    except OSError as error:
        raise KeysError(f"{folder}: cannot be written: {error.strerror}") from None
    return secret, public


def write_secret(path: Path, keys: KeyPair) -> None:
    """Write a secret key, whole or not at all, and never over another; at no moment can anybody else read it.

    Raises
    ------
    KeysError
        There is one already.
    OSError
        It cannot be written.
    """
    text = f'# nervenet: the secret key of {keys.name}. It never leaves this machine.\nname = "{keys.name}"\n'
    text += f'public = "{keys.public}"\nsecret = "{keys.secret}"\n'
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.link(part, path)  # and not a rename, which would replace one that is there
    except FileExistsError:
        raise KeysError(f"{path}: exists already; a key is replaced by removing it first") from None
    finally:
        part.unlink(missing_ok=True)


def secrets_in(folder: Path) -> list[Path]:
    """Return the secret keys of a folder; what editors keep beside a file is none. Raises OSError."""
    return sorted(path for path in folder.iterdir() if path.suffix == SECRET and not path.name.startswith("."))


def public_text(name: str, public: str, roles: tuple[str, ...] = ()) -> str:
    text = f'# nervenet: the public key of {name}\nname = "{name}"\npublic = "{public}"\n'
    return text + (f"roles = [{', '.join(f'{role!r}' for role in roles)}]\n".replace("'", '"') if roles else "")


def make_folder(folder: Path) -> None:
    """Make a folder that its owner alone can use; raise `KeysError` if there is one that others may write."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_owned(folder, folder.stat())


def check_owned(path: Path, found: os.stat_result) -> None:
    """Raise `KeysError` if others may write a file or folder, or it belongs to neither who runs this nor root."""
    if found.st_mode & 0o022:
        mode, where = f"{stat.S_IMODE(found.st_mode):o}", "there" if stat.S_ISDIR(found.st_mode) else "it"
        raise KeysError(f"{path}: others may write {where} (mode {mode}): chmod go-w {path}")
    if found.st_uid not in (user := os.geteuid(), 0):
        raise KeysError(f"{path}: belongs to user {found.st_uid}; expected {user}, who runs this: chown {user} {path}")


def write_atomically(path: Path, text: str) -> None:
    """Replace a file at once: who reads it meanwhile finds the old text or the new one, and nothing between.

    All may read it and its owner alone may write it, whatever the umask: what others may write is refused later.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o644)
            file.write(text)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_secret(path: Path) -> KeyPair:
    """Read a secret key.

    Raises
    ------
    KeysError
        It is missing, unreadable or no key; it belongs to somebody else, or others than its owner can read it; others
        may write in its folder.
    """
    try:
        content, found = read_file(path, os.O_NOFOLLOW)
        folder = path.parent.stat()
    except OSError as error:
        raise KeysError(f"{path}: cannot be read: {error.strerror}") from None
    if found.st_mode & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):o}"
        raise KeysError(f"{path}: others than its owner can use it (mode {mode}); expected 600: chmod 600 {path}")
    if found.st_uid != os.geteuid():
        raise KeysError(f"{path}: belongs to user {found.st_uid}; expected {os.geteuid()}, who runs this")
    check_owned(path.parent, folder)
    fields = parse(content, str(path), ("name", "public", "secret"))
    keys = KeyPair(fields["name"], fields["public"], fields["secret"])
    if zmq.curve_public(keys.secret.encode()).decode() != keys.public:
        raise KeysError(f"{path}: its public key is not that of its secret one")
    return keys


def read_public(path: Path) -> tuple[str, str]:
    """Return name and public key of a ``.pub`` file; raise `KeysError` if it is none."""
    try:
        fields = parse(read_file(path)[0], str(path), ("name", "public"))
    except OSError as error:
        raise KeysError(f"{path}: cannot be read: {error.strerror}") from None
    return fields["name"], fields["public"]


def read_file(path: Path, flags: int = 0) -> tuple[bytes, os.stat_result]:
    """Return the content of a key file, and what the system says of it; `parse` refuses a longer one.

    Raises
    ------
    OSError
        It cannot be read.
    KeysError
        It is a folder, a pipe or the like, which might never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeysError(f"{path}: is no file")
        return os.read(descriptor, _LARGEST + 1), found
    finally:
        os.close(descriptor)


def parse(content: bytes, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a key file, of which ``keys`` are there and checked; raise `KeysError`, and nothing else."""
    if len(content) > _LARGEST:
        raise KeysError(f"{where}: more than {_LARGEST:,} bytes; a key file has about 200")
    try:
        fields = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # of TOML and of UTF-8
        raise KeysError(f"{where}: is no key file: {' '.join(str(error).split())[:100]}") from None
    if "secret" in fields and "secret" not in keys:
        raise KeysError(f"{where}: holds a secret key; expected the {PUBLIC} file beside it, which may be given away")
    for key in keys:
        if not isinstance(fields.get(key), str):
            raise KeysError(f"{where}: is no key file: {key} is missing, or no text")
        if key != "name" and not _Z85.fullmatch(fields[key]):
            raise KeysError(f"{where}: {key} is no key; expected the 40 characters of one")
    check_name(fields["name"], where)
    return fields
