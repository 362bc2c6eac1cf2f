"""``nervenet keys``, and what is refused without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nervenet.scripts import output
from nervenet.scripts.main import execute


def said(capsys: pytest.CaptureFixture[str], line: str, code: int = 0) -> str:
    assert execute(line.split()) == code
    caught = capsys.readouterr()
    return caught.err if code else caught.out


def test_a_key_is_made_allowed_listed_and_revoked(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "k/north.key" in said(capsys, "keys new north --out k")
    assert all(path.stat().st_mode & 0o077 == 0 for path in Path("k").rglob("*.key"))
    said(capsys, "keys new hub --role broker,coordinator --out h")
    public = said(capsys, "keys show --keys k").split()[1]
    assert public in said(capsys, "keys show k/north.pub")
    assert public in said(capsys, "keys allow k/north.pub --role client --keys h")
    assert said(capsys, "keys list --keys h").split("\n")[0].split()[:3] == ["hub", "broker,", "coordinator"]
    assert "revoked    north" in said(capsys, "keys revoke north --keys h")
    assert "north" not in said(capsys, "keys list --keys h")


def test_what_is_made_and_allowed_under_a_loose_umask_is_listed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o002)
    try:
        said(capsys, "keys new hub --role broker,coordinator --out h")
        said(capsys, "keys new north --out k")
        said(capsys, "keys allow k/north.pub --role client --keys h")
    finally:
        os.umask(before)
    assert [line.split()[0] for line in said(capsys, "keys list --keys h").splitlines()] == ["hub", "north"]


def test_a_folder_that_others_may_write_says_how_to_mend_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said(capsys, "keys new hub --role broker --out h")
    Path("h").chmod(0o775)
    for line in ("keys new x --out h", "keys allow h/hub.pub --role broker --keys h", "keys list --keys h"):
        assert "h: others may write there (mode 775): chmod go-w h" in said(capsys, line, 2)
    assert not Path("h/x.key").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("keys new a/b --out k", ["a/b", "letters"]),
        ("keys new north --out k --role queen", ["queen", "client"]),
        ("keys allow k/hub.pub --keys k", ["--role", "client"]),
        ("keys allow k/hub.pub --role launcher --keys k", ["launcher", "client"]),
        ("keys allow k/hub.key --role client --keys k", ["secret", ".pub"]),
        ("keys allow nowhere.pub --role client --keys k", ["nowhere.pub"]),
        ("keys revoke nobody --keys k", ["nobody", "hub"]),
        ("keys revoke ../hub --keys k", ["../hub", "letters"]),
        ("keys show --keys nowhere", ["nowhere", "nervenet keys new"]),
        ("broker --bind tcp://0.0.0.0:5555", ["nervenet keys new", "nervenet keys allow", "--insecure"]),
        ("broker --bind tcp://0.0.0.0:5555 --keys nowhere", ["nowhere", "nervenet keys new"]),
        ("broker --keys k --insecure", ["--keys", "--insecure"]),
        ("monitor --broker tcp://hub.example.org:5555", ["nervenet keys new", "--insecure"]),
        ("monitor --broker tcp://hub.example.org:5555 --keys other", ["other", "--role broker"]),
        ("node client --broker tcp://hub.example.org:5555 --run r --data iris", ["nervenet keys new", "--insecure"]),
        ("node peer --seed-peer tcp://h:1 --run r --data iris", ["nervenet keys new", "--insecure"]),
        ("node client --broker tcp://127.0.0.1:1 --run r --data iris --keys other", ["other", "--role broker"]),
        ("node client --broker tcp://127.0.0.1:1 --run r --data iris --keys k --name north", ["keys new north"]),
        ("node peer --seed-peer tcp://h:1 --run r --data iris --keys k", ["--seed-peer NAME@tcp://h:1"]),
        ("monitor --keys k --insecure", ["--keys", "--insecure"]),
        ("launch --keys k --insecure", ["network.insecure", "network.keys"]),
    ],
)
def test_what_cannot_be_says_what_to_do(capsys, tmp_path, monkeypatch, line, words):
    monkeypatch.chdir(tmp_path)
    said(capsys, "keys new hub --role broker --out k")
    said(capsys, "keys new ops --out other")
    error = said(capsys, line, 2)
    assert not [word for word in words if word not in error], error
    assert "Traceback" not in error


DESCRIBE = (
    "node site --describe --run r --broker tcp://127.0.0.1:1 --set network.join_deadline_s=0.05 --insecure --data t.csv"
)


def said_of_a_description(capsys: pytest.CaptureFixture[str], line: str) -> str:
    Path("t.csv").write_text("a,b\n" + "1,2\n" * 20)
    execute(line.split())
    return capsys.readouterr().err


def test_a_description_without_keys_says_so(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"insecure: {output.INSECURE}" in said_of_a_description(capsys, DESCRIBE)


def test_within_this_machine_it_has_nothing_to_say(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "insecure: " not in said_of_a_description(capsys, DESCRIBE.replace("--insecure ", ""))
