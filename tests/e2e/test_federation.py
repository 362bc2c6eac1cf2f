"""The federation of docs/security.md, word for word: four addresses, keys, one site shut out and let in in mid-run."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.models.datasets import load
from nervenet.nodes import Monitor
from nervenet.scripts.main import execute

from ..pages import FEDERATION, blocks, section

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
PLACES = {name: f"127.0.0.{place}" for place, name in enumerate(("hub", "north", "south", "west"), start=1)}
PATIENCE_S = 120.0


def steps(port: int) -> list[list[str]]:
    """The commands of the page, a list for each of its blocks."""
    text = section(PAGE.read_text(encoding="utf-8"), FEDERATION).replace(":5555", f":{port}")
    for name, place in PLACES.items():
        text = text.replace(f"{name}.example.org", place)
    return [[line.removeprefix("$ ") for line in block.body.splitlines()] for block in blocks(text)]


async def mixes(broker: str, *others: str) -> dict[str, Any]:
    """Return the event of a round in which north has mixed with just these others."""
    async with asyncio.timeout(PATIENCE_S), Monitor(broker, ("round.completed",), keys="north") as events:
        async for event in events:
            if event["node"] == "north" and event["round"] > 0 and list(event["participants"]) == list(others):
                return dict(event.raw)
    raise AssertionError("the events have ended")


@pytest.mark.e2e
async def test_one_site_is_shut_out_and_let_in_while_the_others_go_on(
    nervenet: Callable[..., Any], ports: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    iris = load("iris")
    lines = [",".join(map(str, [*row, kind])) for row, kind in zip(iris.X, iris.y, strict=True)]
    (tmp_path / "flowers.csv").write_text("\n".join([",".join([*iris.columns, "species"]), *lines]))

    def run(block: list[str]) -> None:
        for line in block:
            assert execute(shlex.split(line, comments=True)[1:]) == 0, line

    invited, looked, admitted, started, shut_out, let_in, audited = steps(ports)
    for block in (invited, looked, admitted):
        run(block)
    assert [line for line in started if "# terminal" in line] == started
    nodes = [nervenet(*shlex.split(line, comments=True)[1:]) for line in started]
    broker = f"tcp://{PLACES['hub']}:{ports}"
    nodes[0].says("events out")
    before = await mixes(broker, "south", "west")
    run(shut_out)
    without = await mixes(broker, "south")
    run(let_in)
    after = await mixes(broker, "south", "west")
    assert before["round"] < without["round"] < after["round"]
    assert [node.process.poll() for node in nodes] == [None] * 4
    for node, name in zip(nodes[1:], ("north", "south", "west"), strict=True):
        assert f"tcp://{PLACES[name]}:" in node.says("peer tcp://")
    for node in nodes:
        node.kill(signal.SIGINT)
    assert [node.wait() for node in nodes] == [130] * 4
    run(audited)
