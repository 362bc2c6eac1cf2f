"""The chain of an audit log: any edit shows, and a new life goes on where the last one was cut off."""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.nodes.audit import chain
from nervenet.nodes.audit.chain import Broken, Head, Verifier, parse, sealed, torn_fields
from nervenet.nodes.audit.log import AuditError, AuditLog, chains, closed_files
from nervenet.nodes.audit.verify import verify

VALUES = st.one_of(st.text(max_size=5), st.integers(0, 9))
FIELDS = st.dictionaries(st.sampled_from(["from", "message", "round"]), VALUES)
TORN = b'{"n":3,"time":"20'


@pytest.fixture(autouse=True, scope="module")
def disk_that_is_not_waited_for() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nervenet.nodes.audit.log.os.fsync", lambda file: None)
        yield


def written(count: int = 4, **first: Any) -> bytes:
    """Return a chain of some lines, of which the third follows what a power cut has left of one."""
    head, content = Head(), b""
    for number in range(count):
        if number == 2:
            content += TORN + b"\n"
        kind, fields = ("torn", torn_fields(TORN)) if number == 2 else ("sent", {"round": number, **first})
        line, head = sealed(head, kind, fields, 1e9 + number)
        content += line
    return content


def verified(content: bytes) -> Verifier:
    verifier = Verifier()
    verifier.take(content)
    return verifier


WHOLE = written()


def test_a_chain_verifies_and_has_a_head() -> None:
    verifier = verified(WHOLE)
    assert verifier.head.n == 4
    assert verifier.torn == 1
    last = parse(WHOLE.split(b"\n")[-2])
    assert last.record["hash"] == verifier.head.hash
    assert verifier.check_head(verifier.head.hash) == 0


@given(place=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_any_edit_of_any_byte_is_detected(place: int, byte: int) -> None:
    edited = bytearray(WHOLE)
    if edited[place] == byte:
        return
    edited[place] = byte
    with pytest.raises(Broken):
        verified(bytes(edited))


def test_no_byte_can_be_edited() -> None:
    """All of them, each to two others: the property above draws some."""
    for place in range(len(WHOLE)):
        for flip in (0x01, 0x80):
            edited = bytearray(WHOLE)
            edited[place] ^= flip
            with pytest.raises(Broken):
                verified(bytes(edited))


def test_an_edit_would_pass_without_the_hash_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    edited = WHOLE.replace(b'"round":3', b'"round":4')
    with pytest.raises(Broken, match="line 5: changed: its hash is"):
        verified(edited)

    def trusting(line: bytes, number: int = 0) -> chain.Line:
        record = chain.json.loads(line) if line.endswith(b"}") else None
        if record is None:
            raise Broken(number, "cut off")
        return chain.Line(Head(record["n"], record["hash"]), record)

    monkeypatch.setattr(chain, "parse", trusting)
    assert verified(edited).head.n == 4


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([0, 2, 3, 4], "line 3: removed: record 2 is missing before record 3"),
        ([0, 1, 2, 4], "line 3: changed: it is no record"),  # what is torn is explained by the line behind it alone
        ([0, 1, 4], "line 3: removed: record 3 is missing before record 4"),
        ([1, 2, 3, 4], "line 1: removed: record 1 is missing before record 2"),
        ([0, 4], "line 2: removed: records 2 to 3 are missing before record 4"),
        ([0, 1, 1], "line 3: reordered: record 2 comes after record 2"),
        ([1, 0], "line 1: removed: record 1 is missing before record 2"),
        ([0, 1, 2, 3, 0], "line 5: reordered: record 1 comes after record 3"),
    ],
)
def test_what_is_removed_or_reordered_is_named(lines: list[int], problem: str) -> None:
    every = WHOLE.splitlines(keepends=True)
    with pytest.raises(Broken) as found:
        verified(b"".join(every[line] for line in lines))
    assert str(found.value) == problem


def test_what_is_missing_at_the_end_shows_by_a_head_that_was_noted() -> None:
    head = verified(WHOLE).head.hash
    shorter = verified(b"".join(WHOLE.splitlines(keepends=True)[:-1]))
    with pytest.raises(Broken, match="the end is missing, or all was written anew"):
        shorter.check_head(head)
    assert verified(WHOLE).check_head(shorter.head.hash) == 1


def test_a_line_of_another_chain_does_not_fit() -> None:
    with pytest.raises(Broken, match="line 2: removed: record 2 follows"):
        verified(WHOLE.splitlines(keepends=True)[0] + written(2, node="b").splitlines(keepends=True)[1])


def test_a_last_line_without_its_end_is_cut_off() -> None:
    with pytest.raises(Broken, match="line 5: cut off after "):
        verified(WHOLE[:-1])


# ---------------------------------------------------------------------------------------------------------- the file


@given(lives=st.lists(st.lists(FIELDS, max_size=3), min_size=1, max_size=3), cut=st.integers(0, 40))
def test_a_new_life_goes_on_with_the_chain_wherever_the_last_one_was_cut(
    tmp_path_factory: pytest.TempPathFactory, lives: list[list[dict[str, Any]]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("audit")
    for life in lives:
        log = AuditLog(folder, "north")
        log.append("opened", {})
        for fields in life:
            log.append("sent", fields)
        log.close()
        size = log.path.stat().st_size
        os.truncate(log.path, size - min(cut, size))
    last = AuditLog(folder, "north")
    head = last.append("opened", {})
    last.close()
    (found,), problems = verify(folder)
    assert problems == []
    assert found.head == head


def test_a_torn_line_is_told(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "north")
    log.append("opened", {})
    log.append("sent", {})
    log.close()
    os.truncate(log.path, log.path.stat().st_size - 10)
    AuditLog(tmp_path, "north").close()
    (found,), _ = verify(tmp_path)
    assert found.torn == 1
    assert "1 torn by a power cut" in str(found)


def test_the_file_is_its_owners_alone_and_no_link(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "new", "north")
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.path.parent.stat().st_mode & 0o777 == 0o700
    log.close()
    (tmp_path / "south.jsonl").symlink_to(log.path)
    with pytest.raises(AuditError, match=r"south\.jsonl: the audit log cannot be opened"):
        AuditLog(tmp_path, "south")
    (tmp_path / "west.jsonl").mkdir()
    with pytest.raises(AuditError, match=r"site\.audit_dir says where it is"):
        AuditLog(tmp_path, "west")


def test_a_last_line_that_somebody_has_changed_is_not_continued(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "north")
    log.append("sent", {"round": 3})
    log.close()
    log.path.write_bytes(log.path.read_bytes().replace(b'"round":3', b'"round":4'))
    with pytest.raises(AuditError, match="the last line is not as it was written"):
        AuditLog(tmp_path, "north")


def test_two_processes_of_one_name_share_a_chain(tmp_path: Path) -> None:
    one, other = AuditLog(tmp_path, "north"), AuditLog(tmp_path, "north")
    for number in range(3):
        one.append("sent", {"round": number})
        other.append("sent", {"round": number})
    one.close()
    other.close()
    (found,), problems = verify(tmp_path)
    assert (found.head.n, problems) == (6, [])


def appended_beside_one_that_holds_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, let_go_after_s: float
) -> str:
    """What comes of a record while another process, which stands still, has the lock of the file; it can be waited for.

    Whoever waits longer than its deadline is let go by a timer, and has waited.
    """
    monkeypatch.setattr("nervenet.nodes.audit.log.LOCKED_S", 0.01)
    log = AuditLog(tmp_path, "north")
    with log.path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        letting_go = threading.Timer(let_go_after_s, lambda: fcntl.flock(other, fcntl.LOCK_UN))
        letting_go.start()
        try:
            log.append("sent", {})
        except OSError as error:
            return str(error.strerror)
        finally:
            letting_go.cancel()
            letting_go.join()
            log.close()
    return "waited"


def test_a_lock_that_another_holds_too_long_is_an_error_and_no_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = appended_beside_one_that_holds_the_lock(tmp_path, monkeypatch, 60.0)
    assert said == "another process has held the lock of north.jsonl for 0.01 s"


def test_without_a_deadline_it_would_be_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AuditLog, "_lock", lambda log: fcntl.flock(log._file, fcntl.LOCK_EX))
    assert appended_beside_one_that_holds_the_lock(tmp_path, monkeypatch, 0.1) == "waited"


def test_a_long_chain_goes_on_in_another_file(tmp_path: Path) -> None:
    one, other = (AuditLog(tmp_path, "north", largest=600) for _ in range(2))
    for number in range(4):
        one.append("sent", {"round": number})
        other.append("sent", {"round": number})
    one.close()
    other.close()
    (path,) = chains(tmp_path)
    assert len(chains(tmp_path)[path]) > 2
    (found,), problems = verify(tmp_path)
    assert problems == []
    assert verify(path)[1] == [], "a file that goes on with a chain verifies by itself"
    chains(tmp_path)[path][0].unlink()
    assert verify(tmp_path)[1][0].endswith("are missing before record " + verify(tmp_path)[1][0].rpartition(" ")[2])
    assert found.head.n > 8


def test_a_head_of_a_closed_file_is_found_by_the_open_one(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, "north", largest=300)
    first = log.append("opened", {})
    while len(chains(tmp_path)[log.path]) < 3:
        log.append("sent", {})
    log.close()
    assert verify(log.path, first.hash)[1] == []


def closed_without_the_first(folder: Path) -> tuple[bytes, bytes]:
    """Return a closed file of a chain whose first was moved away, as it was and as it is two files later."""
    log = AuditLog(folder, "north", largest=300)
    while len(closed_files(log.path)) < 2:
        log.append("sent", {})
    first, kept = closed_files(log.path)
    first.unlink()
    before = kept.read_bytes()
    while len(closed_files(log.path)) < 2 and kept.read_bytes() == before:
        log.append("sent", {})
    log.close()
    return before, kept.read_bytes()


def test_no_closed_file_is_overwritten_when_older_ones_were_moved_away(tmp_path: Path) -> None:
    before, after = closed_without_the_first(tmp_path)
    assert before == after
    assert [path.name for path in closed_files(tmp_path / "north.jsonl")] == ["north~00002.jsonl", "north~00003.jsonl"]


def test_counting_the_closed_files_would_overwrite_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.audit.log.newest_number", lambda path: len(closed_files(path)))
    before, after = closed_without_the_first(tmp_path)
    assert before != after


def test_a_file_that_cannot_be_opened_anew_leaves_the_log_its_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(tmp_path, "north")
    log.append("opened", {})
    log.path.rename(tmp_path / "elsewhere")
    real = os.open
    with monkeypatch.context() as patch:
        patch.setattr("nervenet.nodes.audit.log.os.open", refused)
        with pytest.raises(OSError, match="Too many open files"):
            log.append("sent", {})
    other = real(tmp_path / "another", os.O_RDWR | os.O_CREAT)  # gets the lowest number that is free
    log.append("sent", {})
    log.close()
    os.close(other)
    assert (tmp_path / "another").read_bytes() == b""
    assert len(log.path.read_bytes().splitlines()) == 1


def refused(*_: Any) -> int:
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_full_disk_leaves_the_chain_as_it_was(tmp_path: Path) -> None:
    full = [False]

    def write(file: int, content: bytes) -> int:
        if not full[0]:
            return os.write(file, content)
        os.write(file, content[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    log = AuditLog(tmp_path, "north", write=write)
    log.append("opened", {})
    full[0] = True
    with pytest.raises(OSError, match="No space"):
        log.append("sent", {})
    full[0] = False
    log.append("sent", {})
    log.close()
    (found,), problems = verify(tmp_path)
    assert (found.head.n, found.torn, problems) == (2, 0, [])
