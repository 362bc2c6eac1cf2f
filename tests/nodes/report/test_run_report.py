"""A report is one page that needs nothing else, tells of any run folder, and takes text from elsewhere as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.report import record as record_module
from nervenet.nodes.report.record import read_record
from nervenet.nodes.report.run_report import report_page
from nervenet.nodes.report.written import write_report

HOSTILE = "<script>alert(1)</script><img src=http://example.invalid/x onerror=y>"
VOID = {"meta", "br", "img", "link", "input"}


class Page(HTMLParser):
    """The tags, attributes and texts of a page; open tags must close in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def test_the_report_has_the_outcome_first_and_every_part(gossip_run: Callable[..., Path]) -> None:
    page = Page(report_page(read_record(gossip_run())))
    title, _, heading, outcome = [text for text in page.texts if text.strip()][:4]
    assert title == heading == "gossip on digits: 3 nodes, mlp"
    assert outcome == "Completed: accuracy 0.950 (0.900 to 0.970), 4 of 4 rounds in 5.0 s."
    for title in ("Figures", "Curves", "Nodes and their data", "Confusion matrix", "Time", "Configuration"):
        assert title in page.texts
    for known in (
        "0.950 (0.900 to 0.970)",
        "consensus distance",
        "nervenet launch run --out again",
        "unit of the weights",
    ):
        assert known in page.text
    assert page.tags.count("figure") == 5
    assert ("class", "band l0") in page.attributes


def test_the_report_loads_nothing_and_runs_nothing(gossip_run: Callable[..., Path]) -> None:
    text = report_page(read_record(gossip_run()))
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(page.tags)
    assert not {"src", "href", "xlink:href", "srcset", "action"} & {name for name, _ in page.attributes}
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text


def test_text_from_elsewhere_is_text(gossip_run: Callable[..., Path]) -> None:
    run = gossip_run(
        summary={
            "data": HOSTILE,
            "status": "failed",
            "reason": HOSTILE,
            "nodes_lost": [HOSTILE],
            "lost_because": {HOSTILE: HOSTILE},
            "by_node": {HOSTILE: {"role": HOSTILE, "accuracy": 1e300, "bytes_sent": HOSTILE}},
            "warnings": [HOSTILE + "\x1b[2J\u202e"],
            "report": {"confusion": {"labels": [HOSTILE, 1], "matrix": [[1, 2], [HOSTILE]]}, "rows": HOSTILE},
        },
        events=[{"type": "update.rejected", "node": "peer-0", "subject": HOSTILE, "reason": HOSTILE}],
    )
    text = report_page(read_record(run))
    page = Page(text)
    assert page.text.count(HOSTILE) > 8
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_markup_would_be_seen_by_these_tests(gossip_run: Callable[..., Path]) -> None:
    text = report_page(read_record(gossip_run(summary={"reason": HOSTILE})))
    assert "script" in Page(text.replace("&lt;", "<").replace("&gt;", ">")).tags


@pytest.mark.parametrize(
    "summary",
    [
        {"accuracy": None, "status": "interrupted", "reason": "interrupted by SIGTERM"},
        {
            "accuracy": float("inf"),
            "wall_s": "long",
            "by_node": [],
            "baseline": 3,
            "report": {"confusion": {"labels": 3}},
        },
        {"bytes_sent": 10**400, "by_node": {"peer-0": 7}, "site_reports": None, "warnings": "text"},
    ],
)
def test_any_summary_makes_a_page(gossip_run: Callable[..., Path], summary: dict[str, Any]) -> None:
    page = Page(report_page(read_record(gossip_run(summary=summary))))
    assert "Configuration" in page.texts


def test_rounds_that_cannot_be_drawn_are_left_out(gossip_run: Callable[..., Path]) -> None:
    odd = [
        {"round": 1, "loss": "text", "accuracy": 1e308, "consensus_distance": 0.0},
        {"round": 2, "loss": None, "accuracy": -1e308, "consensus_distance": -1.0, "bytes_sent": "many"},
        {"round": 3, "loss": 1.0, "accuracy": True, "loss_min": 1.0, "loss_max": "no"},
    ]
    page = Page(report_page(read_record(gossip_run(rows=odd))))
    assert page.tags.count("figure") == 1
    assert not any(
        "nan" in (value or "") or "inf" in (value or "") for name, value in page.attributes if name == "points"
    )


def test_a_run_without_a_round_says_so(gossip_run: Callable[..., Path]) -> None:
    page = Page(report_page(read_record(gossip_run(summary={"status": "failed", "reason": "no peer came"}, rows=[]))))
    assert "No round was completed." in page.texts
    assert "no peer came." in page.texts


def test_who_was_lost_or_refused_stands_there_with_the_reason(gossip_run: Callable[..., Path]) -> None:
    rejected = {"type": "update.rejected", "node": "peer-0", "subject": "peer-1", "reason": "not finite"}
    lost = {"type": "node.lost", "node": "launcher", "subject": "peer-2", "reason": "ended by signal 9"}
    ready = {"type": "node.ready", "node": "peer-1", "examples": 1234, "held_out": 7}
    page = Page(report_page(read_record(gossip_run(events=[ready, rejected, rejected, lost]))))
    assert "2 of peer-1: not finite" in page.texts
    assert "peer-2: ended by signal 9" in page.texts
    assert "1,234" in page.texts


def test_how_to_repeat_it_goes_by_how_it_was_started(gossip_run: Callable[..., Path]) -> None:
    simulated = report_page(read_record(gossip_run("a b", summary={"engine": "rounds"})))
    assert "nervenet simulate 'a b' --out again" in simulated
    run = gossip_run("site")
    (run / "nodes.json").write_text('{"p": {"role": "peer", "pid": 1, "address": "tcp://127.0.0.1:1"}}')
    assert "nervenet node peer site/experiment.toml --broker ADDRESS" in report_page(read_record(run))
    (run / "nodes.json").write_text('{"b": {"role": "broker"}, "p": {"role": "peer"}}')
    assert "nervenet launch site --out again" in report_page(read_record(run))


def test_of_a_long_log_the_beginning_and_the_end_are_read(
    gossip_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(name: str) -> dict[str, Any]:
        return {"type": "update.rejected", "node": "peer-0", "subject": name, "reason": "late"}

    events = [refused("first"), *[{"type": "round.started", "node": "peer-0", "round": 1}] * 99, refused("last")]
    run = gossip_run(events=[*events[:50], refused("middle"), *events[50:]])
    monkeypatch.setattr(record_module, "MOST_BYTES", 300)
    record = read_record(run)
    assert {name for name, _ in record.rejected} == {"first", "last"}
    assert not record.log_whole
    assert "of its events, the first and the last" in report_page(record)


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="there is no such folder"):
        read_record(tmp_path / "nowhere")
    with pytest.raises(ExperimentError, match=r"neither summary\.json nor"):
        read_record(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentError, match="is a file"):
        read_record(tmp_path / "file")


def test_a_report_that_cannot_be_written_is_a_reason_and_no_error(gossip_run: Callable[..., Path]) -> None:
    run = gossip_run()
    assert write_report(run) is None
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    (run / "report.html").unlink()
    (run / "report.html").mkdir()
    assert "report.html is not written" in (write_report(run) or "")


def test_of_many_rounds_the_page_stays_small(gossip_run: Callable[..., Path]) -> None:
    rows = [{"round": n, "loss": 1 / n, "accuracy": 1 - 1 / n, "bytes_sent": 10**6, "peers": 3} for n in range(1, 5001)]
    text = report_page(read_record(gossip_run(rows=rows)))
    assert len(text) < 60_000 < len(json.dumps(rows))
