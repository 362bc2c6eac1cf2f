"""Who may publish for which run, with keys: whose name has joined it."""

from __future__ import annotations

from nervenet.broker.security import memberships
from nervenet.broker.security.memberships import Memberships


def test_a_client_speaks_for_the_runs_that_it_has_joined() -> None:
    found = Memberships()
    found.joined("north", "a")
    found.joined("north", "b")
    assert [found.wrong_run("north", "client", run, True) for run in ("a", "b")] == [None, None]
    assert found.wrong_run("north", "client", "c", False) == "north has joined run 'b', and speaks for run 'c'"


def test_who_has_joined_none_speaks_for_none_whose_members_are_known() -> None:
    found = Memberships()
    found.joined("south", "a")
    assert found.wrong_run("north", "coordinator", "a", True) == "north has not joined run 'a'"
    assert found.wrong_run("north", "client", "a", False) is None  # a broker that was restarted has yet to learn it
    assert found.wrong_run("north", "client", "b", False) is None


def test_those_who_need_no_broker_to_join_are_believed() -> None:
    found = Memberships()
    found.joined("north", "a")
    assert [found.wrong_run("north", role, "b", True) for role in ("peer", "launcher", "baseline")] == [None] * 3


def test_what_is_remembered_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(memberships, "_MOST", 2)
    found = Memberships()
    for run in ("a", "b", "a", "c"):
        found.joined("north", run)
    assert list(found._nodes) == ["a", "c"]
