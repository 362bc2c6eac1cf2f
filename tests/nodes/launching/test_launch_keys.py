"""The keys of a launch: its own folder, and never that of a site."""

from contextlib import suppress
from pathlib import Path

import pytest
from nervenet.broker.security.allow_list import allow, read_allow_list, revoke
from nervenet.broker.security.keys import new_key_pair, write_keys
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
