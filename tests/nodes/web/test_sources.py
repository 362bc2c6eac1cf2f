"""A web view has its events from a broker as they happen, and from a folder or a file as they are written."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.broker import Broker
from nervenet.broker.events import Publisher
from nervenet.broker.transport import new_incarnation
from nervenet.nodes.web.browsers import Browsers
from nervenet.nodes.web.sources import follow_broker, follow_log, told_of
from nervenet.nodes.web.teller import Teller

Events = list[dict[str, Any]]


@pytest.fixture
def browsers() -> Browsers:
    return Browsers(Teller(), lambda: 105.0)


@asynccontextmanager
async def following(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def write(path: Path, events: Events) -> Path:
    with path.open("a") as file:
        file.writelines(f"{json.dumps(event)}\n" for event in events)
    return path


async def test_what_a_broker_tells_is_shown_and_the_end_at_once(browsers: Browsers) -> None:
    view = browsers.teller
    async with Broker("tcp://127.0.0.1:0") as broker:
        publisher = Publisher("launcher", "launcher", "r", new_incarnation())
        publisher.connect(broker.addresses["events_in"])
        async with following(follow_broker(browsers, broker.addresses["directory"])):
            browser = browsers.join()
            publisher.publish("run.started", mode="gossip", nodes=2, rounds=9, data="iris", model="mlp")
            await until(lambda: view.run.view.rounds == 9)
            publisher.publish("run.failed", reason="no disk", status="failed")
            await until(lambda: b"no disk" in browser._waiting[-1])
        await publisher.close()
    assert not view.live
    assert view.also["source"].startswith("tcp://")


async def test_a_log_that_grows_is_followed(browsers: Browsers, tmp_path: Path, federated: Events) -> None:
    log = write(tmp_path / "recorded.jsonl", federated[:3])
    async with following(follow_log(browsers, log)):
        await until(lambda: browsers.teller.run.view.rounds == 4)
        write(log, federated[3:])
        await until(lambda: browsers.teller.run.view.round == 1)


async def test_what_a_folder_sums_up_is_shown_without_complaints(
    browsers: Browsers, tmp_path: Path, gossip: Events, summed_up: dict[str, Any]
) -> None:
    write(tmp_path / "events.jsonl", [*gossip, summed_up])
    async with following(follow_log(browsers, tmp_path)):
        await until(lambda: browsers.teller.run.whole(106.0)["outcome"]["round"] == 2)
    for teller in (browsers.teller, told_of(tmp_path)):
        state = teller.run.whole(106.0)
        assert (state["malformed"], [line["text"] for line in state["feed"] if "malformed" in line["text"]]) == (0, [])
        assert state["rounds"]["worst"] == [0.6, 0.8]


async def test_of_a_folder_that_is_complete_all_rounds_are_shown(
    browsers: Browsers, tmp_path: Path, federated: Events, ended: Callable[..., dict[str, Any]]
) -> None:
    write(tmp_path / "events.jsonl", [*federated, ended()])
    write(tmp_path / "round_metrics.jsonl", [{"round": n, "accuracy": n / 10, "closed_by": "all"} for n in range(1, 9)])
    async with following(follow_log(browsers, tmp_path)):
        await until(lambda: len(browsers.teller.run.columns.columns()["round"]) == 8)
    summary = told_of(tmp_path).summary("a")
    assert summary["rounds"]["metric"] == [n / 10 for n in range(1, 9)]
    assert summary["outcome"]["status"] == "completed"
