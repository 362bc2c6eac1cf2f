"""The allow-list in folders as they are found: links, a loose umask, wrong names, others who may write.

Each test has a twin that reinstates the fault it guards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nervenet.broker.errors import KeysError
from nervenet.broker.security import allow_list, keys
from nervenet.broker.security.allow_list import FOLDER, allow, read_allow_list, revoke
from nervenet.broker.security.gate import Gate
from nervenet.broker.security.keys import check_owned, new_key_pair, public_text, read_secret, write_keys

Stat = os.stat_result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_keys(tmp_path / "k", new_key_pair("north"))
    return tmp_path / "k"


@pytest.fixture
def group_umask() -> Iterator[None]:
    before = os.umask(0o002)
    try:
        yield
    finally:
        os.umask(before)


def is_refused(call: Callable[[], object], words: str = "") -> bool:
    try:
        call()
    except KeysError as error:
        return words in str(error)
    return False


# Links and hidden files


def signature_by_all_at_once(folder: Path) -> tuple[object, ...]:
    try:
        with os.scandir(folder / FOLDER) as found:
            return tuple(sorted((each.name, each.stat().st_mtime_ns) for each in found if each.name.endswith(".pub")))
    except OSError as error:
        return (error.errno,)


@pytest.mark.parametrize("link", ["south.pub", ".#north.pub"])
@pytest.mark.parametrize("alone", [True, False])
def test_a_revocation_is_seen_beside_a_dangling_link(folder, monkeypatch, link, alone):
    if not alone:  # the fault: one file that cannot be looked at stands for the whole folder
        monkeypatch.setattr("nervenet.broker.security.gate.signature_of", signature_by_all_at_once)
    allow(folder, folder / "north.pub", ["client"])
    (folder / FOLDER / link).symlink_to("nowhere")
    gate = Gate(folder)
    assert list(gate.allowed.by_name) == ["north"]
    revoke(folder, "north")
    gate.look()
    assert ("north" not in gate.allowed.by_name) is alone


def test_a_change_behind_a_link_is_seen(folder, tmp_path):
    allow(folder, folder / "north.pub", ["client"])
    there = (folder / FOLDER / "north.pub").rename(tmp_path / "away.pub")
    (folder / FOLDER / "north.pub").symlink_to(there)
    gate = Gate(folder)
    assert list(gate.allowed.by_name) == ["north"]
    there.unlink()
    gate.look()
    assert not gate.allowed.by_name


@pytest.mark.parametrize("looks", [True, False])
def test_a_dangling_link_is_reported_and_a_hidden_one_is_not(folder, monkeypatch, looks):
    if not looks:  # the fault: what is not there has been revoked at this moment
        monkeypatch.setattr(Path, "is_symlink", lambda _: False)
    allow(folder, folder / "north.pub", ["client"])
    for link in ("south.pub", ".#north.pub"):
        (folder / FOLDER / link).symlink_to("nowhere")
    found = read_allow_list(folder)
    assert list(found.by_name) == ["north"]
    said = (f"{folder / FOLDER / 'south.pub'}: is a link to a file that is not there",)
    assert (found.problems == said) is looks


# The umask


def write_by_the_umask(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


@pytest.mark.usefixtures("group_umask")
@pytest.mark.parametrize("fixed", [True, False])
def test_what_is_written_under_a_loose_umask_counts(tmp_path, monkeypatch, fixed):
    if not fixed:  # the fault: the mode was that of the umask
        monkeypatch.setattr(keys, "write_atomically", write_by_the_umask)
        monkeypatch.setattr(allow_list, "write_atomically", write_by_the_umask)
    secret, public = write_keys(tmp_path / "a" / "k", new_key_pair("north"))
    is_refused(lambda: allow(secret.parent, public, ["client"]))
    assert (list(read_allow_list(secret.parent).by_name) == ["north"]) is fixed
    modes = [path.stat().st_mode & 0o777 for path in (secret, secret.parent, secret.parent / FOLDER)]
    assert modes == [0o600, 0o700, 0o700]
    assert (public.stat().st_mode & 0o777 == 0o644) is fixed


@pytest.mark.parametrize("random", [True, False])
def test_a_link_in_the_place_of_the_part_is_not_written_through(folder, tmp_path, monkeypatch, random):
    allow(folder, folder / "north.pub", ["client"])
    if not random:  # the fault: the name of the part was known before, and a link of that name followed
        monkeypatch.setattr(allow_list, "write_atomically", write_by_the_umask)
    (folder / FOLDER / ".north.pub.part").symlink_to(tmp_path / "elsewhere")
    is_refused(lambda: allow(folder, folder / "north.pub", ["peer"]))
    assert (tmp_path / "elsewhere").exists() is not random


def test_a_file_that_cannot_be_written_leaves_no_part(folder):
    (folder / FOLDER).mkdir(mode=0o700)
    (folder / FOLDER / "north.pub").mkdir()
    with pytest.raises(KeysError, match="cannot be written"):
        allow(folder, folder / "north.pub", ["client"])
    assert [path.name for path in (folder / FOLDER).iterdir()] == ["north.pub"]


# Names


@pytest.mark.parametrize("checks", [True, False])
def test_no_name_reaches_beyond_the_list(folder, monkeypatch, checks):
    if not checks:  # the fault: a name was part of a path unseen
        monkeypatch.setattr(allow_list, "check_name", lambda name: name)
    allow(folder, folder / "north.pub", ["client"])
    assert is_refused(lambda: revoke(folder, "../north"), "'../north': expected 1 to 64 letters") is checks
    assert (folder / "north.pub").exists() is checks


@pytest.mark.parametrize("checks", [True, False])
def test_a_file_of_another_name_does_not_outlive_its_revocation(folder, monkeypatch, checks):
    if not checks:  # the fault: a file was called as one liked
        monkeypatch.setattr(allow_list, "_read_entry", lambda path: allow_list.parse_entry(path.read_bytes(), ""))
    allow(folder, folder / "north.pub", ["client"])
    (folder / FOLDER / "north.pub").rename(folder / FOLDER / "laptop.pub")
    found = read_allow_list(folder)
    assert ("north" not in found.by_name) is checks
    assert any("is the key of north; expected it in north.pub" in each for each in found.problems) is checks


@pytest.mark.parametrize("reads", [True, False])
def test_a_key_that_does_not_count_is_not_said_to_be_allowed(folder, tmp_path, monkeypatch, reads):
    public = new_key_pair("x").public
    for name in ("east", "west"):  # one key twice: by itself neither counts
        (tmp_path / f"{name}.pub").write_text(public_text(name, public))
    (folder / FOLDER).mkdir(mode=0o700)
    for name in ("east", "west"):
        (folder / FOLDER / f"{name}.pub").write_text(public_text(name, public, ("client",)))
        (folder / FOLDER / f"{name}.pub").chmod(0o644)
    if not reads:  # the fault: what was written was believed
        read = iter([read_allow_list(folder)])
        entry = allow_list.Entry("east", public, frozenset({"client"}))
        monkeypatch.setattr(allow_list, "read_allow_list", lambda _: next(read, allow_list.AllowList.of([entry])))
    said = "does not count: one key is allowed 2 times"
    assert is_refused(lambda: allow(folder, tmp_path / "east.pub", ["client"]), said) is reads


# Who may write


def place(folder: Path, which: str) -> Path:
    return {"keys": folder, "list": folder / FOLDER, "entry": folder / FOLDER / "north.pub"}[which]


@pytest.mark.parametrize("which", ["keys", "list", "entry"])
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
@pytest.mark.parametrize("checks", [True, False])
def test_what_others_may_write_allows_nobody(folder, monkeypatch, which, mode, checks):
    allow(folder, folder / "north.pub", ["client"])
    gate = Gate(folder)
    path = place(folder, which)
    path.chmod(mode)
    if not checks:  # the fault: it was not looked at
        monkeypatch.setattr(allow_list, "check_owned", lambda each, found: each == path or check_owned(each, found))
    gate.look()
    assert (not gate.allowed.by_name) is checks
    assert any(f"(mode {mode:o}): chmod go-w {path}" in each for each in gate.allowed.problems) is checks
    path.chmod(0o700)
    gate.look()
    assert list(gate.allowed.by_name) == ["north"]


@pytest.mark.parametrize("which", ["keys", "list", "entry"])
@pytest.mark.parametrize("checks", [True, False])
def test_what_belongs_to_somebody_else_allows_nobody(folder, monkeypatch, which, checks):
    def given_away(path: Path, found: Stat) -> None:
        fields = list(found)
        if path == place(folder, which):
            fields[4] = os.geteuid() + 1
        check_owned(path, Stat(fields))

    allow(folder, folder / "north.pub", ["client"])
    # The fault: whose it is was not looked at.
    monkeypatch.setattr(allow_list, "check_owned", given_away if checks else lambda *_: None)
    found = read_allow_list(folder)
    assert (not found.by_name) is checks
    words = f"belongs to user {os.geteuid() + 1}; expected {os.geteuid()}, who runs this"
    assert any(words in each for each in found.problems) is checks


def test_what_belongs_to_root_may_be_used_by_all(tmp_path, monkeypatch):
    monkeypatch.setattr(keys.os, "geteuid", lambda: 1000)
    check_owned(tmp_path, Stat((0o040755, 1, 1, 1, 0, 0, 0, 0, 0, 0)))
    check_owned(tmp_path, Stat((0o040755, 1, 1, 1, 1000, 0, 0, 0, 0, 0)))
    assert is_refused(lambda: check_owned(tmp_path, Stat((0o040755, 1, 1, 1, 1001, 0, 0, 0, 0, 0))), "chown 1000")


@pytest.mark.parametrize("checks", [True, False])
def test_no_key_is_made_or_read_where_others_may_write(folder, monkeypatch, checks):
    folder.chmod(0o775)
    if not checks:  # the fault: the folder was not looked at
        monkeypatch.setattr(keys, "check_owned", lambda *_: None)
    mend = f"others may write there (mode 775): chmod go-w {folder}"
    assert is_refused(lambda: write_keys(folder, new_key_pair("south")), mend) is checks
    assert (folder / "south.key").exists() is not checks
    assert is_refused(lambda: read_secret(folder / "north.key"), mend) is checks


@pytest.mark.parametrize("sticky", [0o1777, 0o777])
def test_folders_above_that_of_the_keys_are_not_asked(tmp_path, sticky):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(sticky)
    public = write_keys(tmp_path / "shared" / "k", new_key_pair("north"))[1]
    assert allow(public.parent, public, ["client"]).name == "north"
