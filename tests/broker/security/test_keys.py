"""Key files and the allow-list: what is written, what is refused, and that no content is taken for what it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker.errors import KeysError
from nervenet.broker.security.allow_list import (
    FOLDER,
    allow,
    parse_entry,
    read_allow_list,
    revoke,
    signature_of,
)
from nervenet.broker.security.gate import Gate
from nervenet.broker.security.keys import new_key_pair, parse, public_text, read_public, read_secret, write_keys
from nervenet.broker.security.policy import Curve, own_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_keys(tmp_path / "k", new_key_pair("north"))
    return tmp_path / "k"


def test_a_key_survives_its_files_and_the_secret_is_the_owners_alone(tmp_path):
    keys = new_key_pair("north")
    secret, public = write_keys(tmp_path / "k", keys)
    assert read_secret(secret) == keys
    assert read_public(public) == ("north", keys.public)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "k").stat().st_mode & 0o077 == 0
    assert keys.secret not in public.read_text()
    assert keys.secret not in repr(keys)


def test_a_secret_is_never_overwritten(folder):
    with pytest.raises(KeysError, match="exists already"):
        write_keys(folder, new_key_pair("north"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_secret_that_others_can_use_is_refused(folder, mode):
    (folder / "north.key").chmod(mode)
    with pytest.raises(KeysError, match="expected 600: chmod 600"):
        own_keys(folder, None)


def test_a_secret_behind_a_link_or_in_no_file_is_refused(folder, tmp_path):
    (folder / "other.key").symlink_to(folder / "north.key")
    with pytest.raises(KeysError, match="cannot be read"):
        read_secret(folder / "other.key")
    with pytest.raises(KeysError, match="is no file"):
        read_secret(tmp_path)


def test_a_key_that_is_missing_or_empty_or_of_another_name_is_an_error(folder, tmp_path):
    with pytest.raises(KeysError, match="nervenet keys new NAME"):
        own_keys(tmp_path / "nowhere", None)
    with pytest.raises(KeysError, match="nervenet keys new south"):
        own_keys(folder, "south")
    (folder / "north.key").rename(folder / "south.key")
    with pytest.raises(KeysError, match="is the key of north; expected south"):
        own_keys(folder, "south")
    (folder / "south.key").write_text("")
    with pytest.raises(KeysError, match="name is missing"):
        own_keys(folder, None)


def test_of_several_keys_one_has_to_be_named(folder):
    write_keys(folder, new_key_pair("south"))
    with pytest.raises(KeysError, match="several keys; say by --name"):
        own_keys(folder, None)
    assert own_keys(folder, "south").name == own_keys(folder, None, "south").name == "south"


def test_a_public_key_that_does_not_belong_to_its_secret_is_refused(folder):
    other = new_key_pair("x").public
    path = folder / "north.key"
    path.write_text(path.read_text().replace(read_secret(path).public, other))
    with pytest.raises(KeysError, match="is not that of its secret"):
        read_secret(path)


def test_a_secret_is_not_allowed_in_the_place_of_a_public_key(folder):
    with pytest.raises(KeysError, match="holds a secret key"):
        allow(folder, folder / "north.key", ["client"])


def test_who_is_allowed_is_listed_and_who_is_revoked_is_not(folder, tmp_path):
    public = write_keys(tmp_path / "other", new_key_pair("south"))[1]
    before = signature_of(folder)
    allow(folder, public, ["client", "monitor"])
    assert signature_of(folder) != before
    entry = read_allow_list(folder).by_name["south"]
    assert (entry.public, entry.roles) == (read_public(public)[1], {"client", "monitor"})
    allow(folder, public, ["client"])
    assert read_allow_list(folder).by_name["south"].roles == {"client"}
    revoke(folder, "south")
    assert not read_allow_list(folder).by_name
    with pytest.raises(KeysError, match="south: is not allowed"):
        revoke(folder, "south")


def test_a_name_is_not_given_to_a_second_key_nor_a_key_to_a_second_name(folder, tmp_path):
    allow(folder, folder / "north.pub", ["client"])
    with pytest.raises(KeysError, match=r"north has another key here.*nervenet keys revoke north"):
        allow(folder, write_keys(tmp_path / "thief", new_key_pair("north"))[1], ["client"])
    renamed = tmp_path / "x.pub"
    renamed.write_text(public_text("x", read_public(folder / "north.pub")[1]))
    with pytest.raises(KeysError, match="is allowed already, as north's"):
        allow(folder, renamed, ["client"])


@pytest.mark.parametrize("roles", [[], ["queen"], ["client", "queen"]])
def test_a_role_that_is_none_is_refused(folder, roles):
    with pytest.raises(KeysError, match="expected one or more of client"):
        allow(folder, folder / "north.pub", roles)


def test_a_file_that_is_no_entry_is_reported_and_the_others_count(folder):
    allow(folder, folder / "north.pub", ["client"])
    (folder / FOLDER / "broken.pub").write_text("name = ")
    os.mkfifo(folder / FOLDER / "pipe.pub")
    (folder / FOLDER / "folder.pub").mkdir()
    found = read_allow_list(folder)
    assert list(found.by_name) == ["north"]
    assert len(found.problems) == 3


def test_a_folder_that_has_gone_allows_nobody(tmp_path):
    assert not read_allow_list(tmp_path / "nowhere").by_name
    assert signature_of(tmp_path / "nowhere") == signature_of(tmp_path / "elsewhere")


@given(st.binary(max_size=5000))
def test_no_bytes_are_taken_for_a_key(content):
    with pytest.raises(KeysError):
        parse(content, "x", ("name", "public", "secret"))
    with pytest.raises(KeysError):
        parse_entry(content, "x")


@given(
    st.one_of(st.none(), st.text(max_size=8), st.integers()),
    st.one_of(st.none(), st.text(max_size=45)),
    st.one_of(st.none(), st.text(max_size=5), st.lists(st.text(max_size=9), max_size=3)),
)
def test_no_map_is_taken_for_an_entry(name, public, roles):
    import tomli_w

    fields = {"name": name, "public": public, "roles": roles}
    text = tomli_w.dumps({key: value for key, value in fields.items() if value is not None})
    with pytest.raises(KeysError):
        parse_entry(text.encode(), "x")


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "ä", "a\n"])
def test_a_name_that_no_node_can_have_is_refused(name):
    with pytest.raises(KeysError, match="expected 1 to 64 letters"):
        new_key_pair(name)


def test_inproc_alone_has_no_gate(tmp_path) -> None:
    keys = new_key_pair("hub")
    curve = Curve(keys, Gate(tmp_path, own=keys))
    assert curve.listen(None, "inproc://x", "directory", lambda _: None, lambda: None) is None
    with pytest.raises(RuntimeError):  # any other address has a gate, which needs an event loop and a socket
        curve.listen(None, "ipc:///tmp/x", "directory", lambda _: None, lambda: None)
