"""What facts mean: each is judged by a pure function, and each problem says what is expected and how it is mended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from nervenet.broker.errors import see
from nervenet.broker.greeting import Reached, mechanism_of
from nervenet.broker.messages import BrokerInfo, Failed, Member, Message, Ok, Roster
from nervenet.nodes.diagnosis.broker_facts import BrokerFacts
from nervenet.nodes.diagnosis.broker_findings import MOST_OFFSET_S, judge_broker
from nervenet.nodes.diagnosis.finding import Finding, bytes_text, problems_in
from nervenet.nodes.diagnosis.machine_facts import Folder, Libraries, Limits, Ports, free_memory
from nervenet.nodes.diagnosis.machine_findings import (
    judge_folder,
    judge_interface,
    judge_libraries,
    judge_limits,
    judge_ports,
)

AT = "tcp://h:5555"
INFO = BrokerInfo(1, 1, 1, "0.1.0", 1000.0, 1)
LIBRARIES = Libraries((3, 12, 1), {"pyzmq": "27.3.0", "numpy": "2.1"}, {"pyzmq": "26", "numpy": "1.26"}, "4.3.5", True)


def states(findings: object) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in findings:  # type: ignore[attr-defined]
        found.setdefault(finding.check, []).append(finding.state)
    return found


def only_problem(facts: BrokerFacts) -> Finding:
    [found] = [finding for finding in judge_broker(facts) if finding.state != "ok"]
    return found


def test_a_line_has_what_was_found_what_is_allowed_and_what_to_do() -> None:
    line = str(Finding("disk", "problem", "3 MB are free", "1 GB or more", "remove old run folders"))
    assert line == "problem  disk       3 MB are free; expected 1 GB or more: remove old run folders"
    assert str(Finding("disk", "ok", "3 GB are free")) == "ok       disk       3 GB are free"
    refused = Finding("keys", "problem", f"it refuses the key{see('key-refused')}", "", "compare the keys")
    assert str(refused).endswith("it refuses the key: compare the keys (docs/errors.md#key-refused)")


def test_a_broker_that_answers_is_well() -> None:
    facts = BrokerFacts(AT, info=INFO, events={"tcp://h:5556": "", "tcp://h:5557": ""})
    assert states(judge_broker(facts)) == {"addresses": ["ok"] * 3, "versions": ["ok"], "clock": ["ok"]}


@pytest.mark.parametrize(
    ("facts", "check", "words"),
    [
        (BrokerFacts(AT, reached=Reached(AT, "Connection refused")), "addresses", "nothing is reached at tcp://h:5555"),
        (BrokerFacts(AT, reached=Reached(AT)), "addresses", "does not speak ZeroMQ"),
        (BrokerFacts(AT, reached=Reached(AT, mechanism="NULL")), "addresses", "it answers no request"),
        (BrokerFacts(AT, reached=Reached(AT, mechanism="CURVE")), "keys", "encrypts, and no keys are given here"),
        (BrokerFacts(AT, encrypted=True, reached=Reached(AT, mechanism="NULL")), "keys", "does not encrypt"),
        (
            BrokerFacts(AT, encrypted=True, refused="not let in", reached=Reached(AT, mechanism="CURVE")),
            "keys",
            "not let",
        ),
        (BrokerFacts("ipc://x"), "addresses", "no broker answers at ipc://x"),
        (BrokerFacts(AT, info=INFO, events={"tcp://h:5556": "no answer"}), "addresses", "tcp://h:5556 (events) cannot"),
        (BrokerFacts(AT, info=Failed(0, "version", "upgrade the broker")), "versions", "upgrade the broker"),
        (BrokerFacts(AT, info=INFO, not_bound="x cannot be bound"), "inbox", "x cannot be bound"),
        (BrokerFacts(AT, info=INFO, run=Failed(1, "incomplete", "1 of 2")), "run", "cannot be joined (incomplete)"),
    ],
)
def test_what_is_wrong_with_a_broker_is_one_problem_with_its_cause(facts: BrokerFacts, check: str, words: str) -> None:
    found = only_problem(facts)
    assert (found.check, found.state) == (check, "problem")
    assert words in found.found


def test_a_broker_of_another_version_and_one_of_an_unknown_release() -> None:
    later = only_problem(BrokerFacts(AT, info=BrokerInfo(1, 9, 8, "3.0", 1000.0, 0)))
    assert later.found.startswith("the broker speaks version 8 to 9 of the protocol (nervenet 3.0)")
    assert later.found.endswith("upgrade nervenet at this machine")
    older = only_problem(BrokerFacts(AT, info=Failed(0, "malformed", "?")))
    assert (older.check, older.state) == ("versions", "warning")


@pytest.mark.parametrize(
    ("offset_s", "uncertain_s", "state"), [(0.0, 0.01, "ok"), (-6.0, 0.1, "warning"), (6.0, 2.0, "ok")]
)
def test_a_clock_that_is_certainly_off_is_warned_of(offset_s: float, uncertain_s: float, state: str) -> None:
    facts = BrokerFacts(AT, info=INFO, offset_s=offset_s, uncertain_s=uncertain_s)
    assert states(judge_broker(facts))["clock"] == [state]
    assert MOST_OFFSET_S == 5.0


def test_a_clock_behind_is_said_to_be_behind() -> None:
    found = only_problem(BrokerFacts(AT, info=INFO, offset_s=61.25))
    assert found.found == "this clock is 61.2 s behind the broker's"


@pytest.mark.parametrize(
    ("back", "state"),
    [
        (Ok(1), "ok"),
        (Failed(1, "unreachable", "?"), "problem"),
        (Failed(1, "elsewhere", "?"), "warning"),
        (None, "warning"),
    ],
)
def test_a_node_learns_whether_it_is_dialed_back(back: Message | None, state: str) -> None:
    facts = BrokerFacts(AT, info=INFO, inbox="tcp://me:7", back=back)
    assert states(judge_broker(facts))["inbox"] == [state]


def test_a_name_that_is_taken_is_warned_of() -> None:
    roster = Roster(1, "demo", 1, {}, (Member("north", "client", 1, 7, {}, "alive"),))
    assert states(judge_broker(BrokerFacts(AT, info=INFO, run=roster), "north"))["run"] == ["ok", "warning"]
    assert states(judge_broker(BrokerFacts(AT, info=INFO, run=roster), "south"))["run"] == ["ok"]


def test_packages_that_are_missing_or_too_old_are_problems() -> None:
    assert states(judge_libraries(LIBRARIES)) == {"versions": ["ok"]}
    old = replace(LIBRARIES, python=(3, 9, 1), installed={"pyzmq": "25.9"}, curve=False)
    lines = [str(finding) for finding in judge_libraries(old) if finding.state != "ok"]
    assert [line.split(maxsplit=2)[2].partition(";")[0] for line in lines] == [
        "Python 3.9.1",
        "pyzmq 25.9",
        "numpy is not installed",
        "libzmq 4.3.5 cannot encrypt",
    ]


def test_few_files_little_memory_and_few_processes_are_problems() -> None:
    well = Limits(20_000, 10, 30_000, 8 << 30)
    assert states(judge_limits(well, 80)) == {"files": ["ok"], "memory": ["ok"]}
    poor = Limits(100, 10, 20, 100 << 20)
    assert states(judge_limits(poor, 80)) == {"files": ["problem", "problem"], "memory": ["problem"]}
    assert "ulimit -n 3000" in str(next(iter(judge_limits(Limits(1024, 1, 9999, None), 3000))))


def test_a_folder_that_is_full_or_cannot_be_written_is_a_problem() -> None:
    here = Path("runs")
    assert states(judge_folder(Folder(here, here, 5 << 30))) == {"disk": ["ok"]}
    assert states(judge_folder(Folder(here, here, 500 << 20))) == {"disk": ["warning"]}
    assert states(judge_folder(Folder(here, here, 0))) == {"disk": ["problem"]}
    assert problems_in(judge_folder(Folder(here, here, 5 << 30, "Read-only file system"))) == 1


def test_a_port_that_is_taken_is_named() -> None:
    [found] = judge_ports(Ports("127.0.0.1", (5555, 5556, 5557), (5556,)))
    assert found.found == "port 5556 of 127.0.0.1 is in use"
    assert problems_in(judge_ports(Ports("192.0.2.1", (1, 2, 3), (), "Cannot assign requested address"))) == 1
    assert problems_in(judge_ports(Ports("127.0.0.1", (1, 2, 3), ()))) == 0


def test_where_nobody_can_dial_back_the_interface_is_tried() -> None:
    assert judge_interface(Ports("127.0.0.1", (0,), ())).state == "warning"
    assert judge_interface(Ports("192.0.2.1", (0,), (), "Cannot assign requested address")).state == "problem"


def test_a_greeting_names_its_mechanism() -> None:
    signature = b"\xff" + bytes(8) + b"\x7f"
    assert mechanism_of(signature + b"\x03\x01" + b"CURVE".ljust(20, b"\0")) == "CURVE"
    assert mechanism_of(signature + b"\x03\x01" + b"NULL".ljust(20, b"\0")) == "NULL"
    for other in (b"", b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n", signature, b"\xff" * 40):
        assert mechanism_of(other) == ""


def test_the_memory_of_a_container_counts(tmp_path: Path) -> None:
    for name, text in {
        "proc/meminfo": "MemTotal: 9\nMemAvailable: 4000000 kB\n",
        "proc/self/cgroup": "0::/box\n",
        "sys/fs/cgroup/box/memory.max": "1000000\n",
        "sys/fs/cgroup/box/memory.current": "400000\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert free_memory(tmp_path) == 600_000
    assert free_memory(tmp_path / "none") is None


def test_sizes_are_in_words() -> None:
    assert [bytes_text(n) for n in (0, 999, 2_500_000, 7e18)] == ["0 bytes", "999 bytes", "2.5 MB", "7e+03 PB"]
