"""The keys of a launch: its own folder, and never that of a site."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.security.allow_list import allow, read_allow_list, revoke
from nervenet.broker.security.keys import make_folder, new_key_pair, read_secret, write_keys
from nervenet.broker.security.policy import own_keys
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import launch_keys as keys_module
from nervenet.nodes.launching.launch_keys import check_keys, launch_keys

ROLES = {"coordinator": "coordinator", "client-0": "client"}


def plan(folder: Path) -> Experiment:
    return Experiment.from_dict({"network": {"keys": str(folder)}})


def brokers_of_a_site_after_a_launch(tmp_path: Path) -> list[str]:
    """The brokers that a hub allows after a launch with its folder, whether or not that was refused."""
    folder = tmp_path / "hub"
    _, public = write_keys(folder, new_key_pair("hub"))
    allow(folder, public, ["broker", "coordinator"])
    with suppress(ExperimentError), launch_keys(plan(folder), ROLES, tmp_path / "run"):
        pass
    return [entry.name for entry in read_allow_list(folder).of_role("broker")]


def test_the_folder_of_a_site_is_refused_and_left_alone(tmp_path: Path) -> None:
    assert brokers_of_a_site_after_a_launch(tmp_path) == ["hub"]
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["hub.key", "hub.pub", "hub.pub"]
    with pytest.raises(ExperimentError, match=r"holds keys that no launch has made \(.*hub\.key.*another folder"):
        check_keys(plan(tmp_path / "hub"))


def test_without_that_rule_it_would_allow_two_brokers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "check_keys", lambda _: None)
    assert brokers_of_a_site_after_a_launch(tmp_path) == ["broker", "hub"]


def test_a_folder_of_allowed_keys_alone_is_refused_too(tmp_path: Path) -> None:
    _, public = write_keys(tmp_path / "north", new_key_pair("north"))
    allow(tmp_path / "site", public, ["client"])
    with pytest.raises(ExperimentError, match=r"allowed/north\.pub"):
        check_keys(plan(tmp_path / "site"))


def test_a_launch_goes_on_with_its_own_and_whom_it_was_told_to_allow(tmp_path: Path) -> None:
    folder = tmp_path / "k"
    _, watcher = write_keys(tmp_path / "ops", new_key_pair("ops"))
    with launch_keys(plan(folder), ROLES, tmp_path / "run") as secured:
        assert secured.network.keys == str(folder)
    first = read_allow_list(folder)
    allow(folder, watcher, ["monitor"])
    revoke(folder, "client-0")
    with launch_keys(plan(folder), ROLES | {"client-1": "client"}, tmp_path / "run"):
        found = read_allow_list(folder).by_name
    assert set(found) == set(first.by_name) - {"client-0"} | {"ops", "client-1"}
    assert found["broker"] == first.by_name["broker"]


class Killed(BaseException):
    """What ends a process in the midst of it."""


def allowed_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> dict[str, bool]:
    """By process: whether a launch that follows one that was killed at its `at`-th file has a key that is allowed."""
    folder, left = tmp_path / "k", [at]
    replace, link = Path.replace, os.link

    def dying(done: Callable[..., Any]) -> Callable[..., Any]:
        def do(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return done(*arguments)

        return do

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # nor does it tidy up
        patch.setattr(Path, "replace", dying(replace))
        patch.setattr(os, "link", dying(link))
        with suppress(Killed), launch_keys(plan(folder), ROLES, tmp_path / "run"):
            pytest.fail("it was to be killed before")
    with launch_keys(plan(folder), ROLES, tmp_path / "run"):
        allowed = read_allow_list(folder).by_name
        names = [*keys_module.SERVICES, *ROLES]
        found = {name: allowed[name].public == read_secret(folder / f"{name}.key").public for name in names}
    assert not list(folder.rglob(".*"))
    return found


@pytest.mark.parametrize("at", range(1, 10))
def test_a_launch_that_is_killed_while_it_makes_its_keys_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    assert all(allowed_after_a_kill(tmp_path, monkeypatch, at).values())


def test_with_the_secret_first_some_would_not_be_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(folder: Path, roles: Mapping[str, str], _: object = None) -> None:
        make_folder(folder)
        (folder / keys_module.MARK).touch()
        for name, role in {**keys_module.SERVICES, **roles}.items():
            if not (folder / f"{name}.key").exists():
                _, public = write_keys(folder, new_key_pair(name))
                allow(folder, public, [role])

    monkeypatch.setattr(keys_module, "_make", make)
    with pytest.raises(KeyError):
        allowed_after_a_kill(tmp_path, monkeypatch, 2)


def test_what_an_editor_keeps_beside_a_key_is_no_key(tmp_path: Path) -> None:
    write_keys(tmp_path, new_key_pair("north"))
    (tmp_path / ".#north.key").symlink_to("somebody@somewhere.1234")
    (tmp_path / ".#south.key").write_text("in the making")
    assert own_keys(tmp_path, None).name == "north"


def test_a_folder_of_throw_away_keys_is_told_of_before_there_is_a_secret_in_it(tmp_path: Path) -> None:
    beyond = Experiment.from_dict({"network": {"bind": "0.0.0.0", "advertise": "127.0.0.1"}})
    told: list[tuple[Path, list[Path]]] = []
    with launch_keys(beyond, ROLES, tmp_path, lambda folder: told.append((folder, list(folder.iterdir())))) as secured:
        assert told == [(Path(str(secured.network.keys)), [])]
