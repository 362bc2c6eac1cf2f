"""``nervenet audit``: exit codes and words."""

import json
from pathlib import Path

import pytest
from nervenet.nodes.audit.log import AuditLog
from nervenet.scripts.main import execute


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "audit", "north")
    log.append("opened", {"node": "north", "role": "client", "run": "study", "version": "1"})
    update = {"message": "update", "round": 1, "examples": 48, "bytes": 1284, "sha256": "ab" * 32}
    log.append("sent", {"to": ["hub"], **update})
    log.close()
    return log


def test_a_chain_is_verified_by_file_folder_and_run_folder(log: AuditLog, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (log.path, log.path.parent, log.path.parent.parent):
        assert execute(["audit", "verify", str(place)]) == 0
        assert f"2 records, 1 life of its node; head {log.head.hash}" in capsys.readouterr().out
    assert execute(["audit", "verify", str(log.path), "--head", log.head.hash]) == 0
    assert execute(["audit", "head", str(log.path)]) == 0
    assert f"{log.head.hash}  2  {log.path}" in capsys.readouterr().out


def test_a_chain_that_was_changed_has_exit_code_1(log: AuditLog, capsys: pytest.CaptureFixture[str]) -> None:
    content = log.path.read_bytes()
    log.path.write_bytes(content.replace(b"1284", b"1285"))
    assert execute(["audit", "verify", str(log.path)]) == 1
    assert f"{log.path}: line 2: changed: its hash is " in capsys.readouterr().err
    log.path.write_bytes(content.splitlines(keepends=True)[0])
    assert execute(["audit", "verify", str(log.path)]) == 0
    assert execute(["audit", "verify", str(log.path), "--head", log.head.hash]) == 1
    assert "the end is missing, or all was written anew" in capsys.readouterr().err


def test_records_are_shown(log: AuditLog, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["audit", "show", str(log.path)]) == 0
    shown = capsys.readouterr().out
    assert "run study, nervenet 1" in shown
    assert "1,284" in shown
    assert execute(["audit", "show", str(log.path), "--json", "--last", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 48


def test_a_place_without_a_log_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["audit", "verify", str(tmp_path / "none")]) == 2
    assert "holds no audit log (NAME.jsonl)" in capsys.readouterr().err


def test_of_several_broken_chains_each_has_a_line(log: AuditLog, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("south", "west"):
        (log.path.parent / f"{name}.jsonl").write_text("{}\n")
    assert execute(["audit", "verify", str(log.path.parent)]) == 1
    told = capsys.readouterr()
    assert log.head.hash in told.out
    lines = [f"nervenet: {log.path.parent}/{name}.jsonl: line 1: changed" for name in ("south", "west")]
    assert [line.startswith(begin) for line, begin in zip(told.err.splitlines(), lines, strict=True)] == [True, True]


def test_a_run_without_audit_logs_has_no_broken_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "experiment.toml").touch()
    (tmp_path / "events.jsonl").write_text('{"type": "run.started"}\n')
    assert execute(["audit", "verify", str(tmp_path)]) == 2
    assert "this run has kept no audit log (nervenet launch --audit" in capsys.readouterr().err
