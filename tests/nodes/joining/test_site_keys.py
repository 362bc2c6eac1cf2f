"""The keys of a site that joins: made once, nothing overwritten, nobody allowed without having been shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from nervenet.broker.errors import KeysError
from nervenet.broker.security.allow_list import Entry, allow_entry, read_allow_list, revoke
from nervenet.broker.security.keys import new_key_pair, read_secret, write_keys
from nervenet.nodes.joining.invitation import Invitation, InvitedKey
from nervenet.nodes.joining.site_keys import accept_keys, plan_keys

Invited = Callable[..., Invitation]


def take(folder: Path, invitation: Invitation) -> str:
    return accept_keys(plan_keys(folder, invitation, "here"), "here").public


def test_a_plan_writes_nothing_and_says_what_would_be(tmp_path: Path, invited: Invited) -> None:
    plan = plan_keys(tmp_path / "north", invited(), "here")
    assert not (tmp_path / "north").exists()
    assert (plan.own, [entry.name for entry in plan.new], plan.known, plan.others) == (None, ["hub"], (), ())


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path, invited: Invited) -> None:
    public = take(tmp_path / "north", invited())
    secret = tmp_path / "north" / "north.key"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "north").stat().st_mode & 0o077 == 0
    assert read_allow_list(tmp_path / "north").by_name["hub"].roles == {"broker", "coordinator"}
    again = plan_keys(tmp_path / "north", invited(), "here")
    assert again.new == ()
    assert take(tmp_path / "north", invited()) == public == read_secret(secret).public


def test_a_newer_invitation_adds_keys_and_takes_none(tmp_path: Path, invited: Invited) -> None:
    folder, first = tmp_path / "north", invited()
    take(folder, first)
    other = new_key_pair("second")
    keys = {**first.keys, "second": InvitedKey(public=other.public, roles=("coordinator",))}
    plan = plan_keys(folder, replace(first, keys=keys), "here")
    assert [entry.name for entry in plan.new] == ["second"]
    assert [entry.name for entry in plan.known] == ["hub"]
    accept_keys(plan, "here")
    assert sorted(read_allow_list(folder).by_name) == ["hub", "second"]
    assert [entry.name for entry in plan_keys(folder, first, "here").others] == ["second"]


def test_a_key_that_was_revoked_here_is_asked_about_again(tmp_path: Path, invited: Invited) -> None:
    take(tmp_path / "north", invited())
    revoke(tmp_path / "north", "hub")
    assert [entry.name for entry in plan_keys(tmp_path / "north", invited(), "here").new] == ["hub"]


def test_a_role_that_the_site_gave_itself_stays(tmp_path: Path, invited: Invited) -> None:
    folder, invitation = tmp_path / "north", invited()
    take(folder, invitation)
    allow_entry(folder, Entry("hub", invitation.keys["hub"].public, frozenset({"monitor"})), "here")
    take(folder, invitation)
    assert read_allow_list(folder).by_name["hub"].roles == {"broker", "coordinator", "monitor"}


def other_key(folder: Path) -> None:
    write_keys(folder, new_key_pair("south"))


def lost_secret(folder: Path) -> None:
    write_keys(folder, new_key_pair("north"))
    (folder / "north.key").unlink()


def wrong_name(folder: Path) -> None:
    write_keys(folder, new_key_pair("south"))
    (folder / "south.key").rename(folder / "north.key")


def readable(folder: Path) -> None:
    write_keys(folder, new_key_pair("north"))
    (folder / "north.key").chmod(0o644)


def other_things(folder: Path) -> None:
    folder.mkdir()
    (folder / "north.csv").touch()


def another_hub(folder: Path) -> None:
    allow_entry(folder, Entry("hub", new_key_pair("hub").public, frozenset({"broker"})), "here")


def second_broker(folder: Path) -> None:
    allow_entry(folder, Entry("middle", new_key_pair("middle").public, frozenset({"broker"})), "here")


def no_entry(folder: Path) -> None:
    (folder / "allowed").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    (folder / "allowed").chmod(0o700)
    (folder / "allowed" / "x.pub").write_text("?")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (other_key, r"holds the key of south, and north is invited; .* --keys DIR"),
        (lost_secret, r"north.key: is missing, though north.pub is there"),
        (wrong_name, r"north.key: is the key of south"),
        (readable, r"chmod 600"),
        (other_things, r"no folder of keys \(it holds north.csv\); .* --keys DIR"),
        (Path.touch, r"no folder for the key of north: Not a directory"),
        (another_hub, r"here: hub has another key here .*nervenet keys revoke hub"),
        (second_broker, r"allows another broker, middle.*--keys DIR.*nervenet keys revoke middle --keys"),
        (no_entry, r"x.pub: is no key file"),
    ],
)
def test_a_folder_that_does_not_fit_is_left_as_it_is(
    found: Callable[[Path], None], words: str, tmp_path: Path, invited: Invited
) -> None:
    folder = tmp_path / "north"
    found(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(KeysError, match=words):
        plan_keys(folder, invited(), "here")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_empty_folder_that_others_may_write_holds_no_key(tmp_path: Path, invited: Invited) -> None:
    (tmp_path / "north").mkdir()
    (tmp_path / "north").chmod(0o777)
    with pytest.raises(KeysError, match="chmod go-w"):
        take(tmp_path / "north", invited())
    assert list((tmp_path / "north").iterdir()) == []
