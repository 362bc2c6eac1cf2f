"""Browsers get a state and numbered changes; one that does not read is cut off, and costs no memory."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from nervenet.nodes.web import browsers as module
from nervenet.nodes.web.browsers import BEHIND, COMMENT, Browser, Browsers
from nervenet.nodes.web.teller import Teller

Events = list[dict[str, Any]]


def told(message: bytes) -> tuple[str, dict[str, Any]]:
    kind, data = message.decode().split("\n")[:2]
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


class Clock:
    now = 105.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def browsers(clock: Clock) -> Browsers:
    return Browsers(Teller("here"), clock)


def waiting(browser: Browser) -> list[tuple[str, dict[str, Any]]]:
    return [told(message) for message in browser._waiting]


def test_who_comes_late_gets_everything_first(browsers: Browsers, federated: Events) -> None:
    for event in federated:
        browsers.teller.update(event)
    ((kind, state),) = waiting(browsers.join())
    assert (kind, state["source"], state["live"]) == ("state", "here", True)
    assert state["rounds"]["metric"] == [0.9]


def test_changes_are_numbered_one_by_one_for_everybody(browsers: Browsers, clock: Clock, federated: Events) -> None:
    early, late = browsers.join(), None
    for event in federated:
        browsers.teller.update(event)
        clock.now += 0.25
        browsers.tell()
        late = late or browsers.join()
    for browser in filter(None, (early, late)):
        kinds, states = zip(*waiting(browser), strict=True)
        assert kinds[0] == "state"
        assert "delta" in kinds
        numbers = [state["v"] for state in states]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_where_nothing_is_new_only_the_time_is_told_and_seldom(browsers: Browsers, clock: Clock) -> None:
    browser = browsers.join()
    browsers.tell()
    browsers.tell()
    before = len(waiting(browser))
    browsers.tell()
    assert len(waiting(browser)) == before
    clock.now += 2.5
    browsers.tell()
    assert waiting(browser)[-1][1].keys() == {"v", "now", "live"}


def test_a_browser_that_does_not_read_is_cut_off_counted_and_forgotten(browsers: Browsers, clock: Clock) -> None:
    stopped, reads = browsers.join(), browsers.join()
    heard: list[tuple[str, dict[str, Any]]] = []
    for _ in range(BEHIND + 2):
        clock.now += 2.5
        browsers.tell()
        heard += waiting(reads)
        reads._waiting.clear()
    assert stopped.cut
    assert not stopped._waiting
    assert not reads.cut
    assert [state["browsers"] for _, state in heard if "browsers" in state][-1] == {"now": 1, "cut": 1}


def test_while_events_wait_to_be_read_nobody_is_taken_for_silent(browsers: Browsers, clock: Clock) -> None:
    browser = browsers.join()
    clock.now = 130.0
    for time in (104.0, 105.0, 104.5):
        browsers.read(time)
    browsers.tell()
    _, state = waiting(browser)[-1]
    assert (state["now"], state["behind_s"]) == (105.0, 25)
    clock.now = 130.5  # it comes to the end of what waited
    browsers.read(130.4)
    browsers.tell()
    _, state = waiting(browser)[-1]
    assert (state["now"], state["behind_s"]) == (130.5, 0)


def test_where_no_event_comes_none_waits(browsers: Browsers, clock: Clock) -> None:
    browser = browsers.join()
    clock.now = 130.0
    browsers.read(105.0)
    clock.now += 1.5
    browsers.tell()
    assert waiting(browser)[-1][1]["now"] == 131.5


def test_another_run_is_told_as_a_whole_and_stragglers_of_the_first_are_not(
    browsers: Browsers, federated: Events
) -> None:
    for event in federated:
        browsers.teller.update(event)
    browser = browsers.join()
    browsers.teller.update({**federated[0], "run": "second", "rounds": 9})
    browsers.teller.update({**federated[0], "time": 1.0})
    browsers.tell()
    kind, state = waiting(browser)[-1]
    assert (kind, state["outcome"]["run"], state["outcome"]["rounds"]) == ("state", "second", 9)


async def test_a_stream_says_something_now_and_then_and_ends_with_the_last_news(
    browsers: Browsers, monkeypatch: pytest.MonkeyPatch, federated: Events, ended: Callable[..., dict[str, Any]]
) -> None:
    monkeypatch.setattr(module, "COMMENT_S", 0.0)
    browser = browsers.join()
    messages = browser.messages()
    assert told(await anext(messages))[0] == "state"
    assert await anext(messages) == COMMENT
    for event in (*federated, ended()):
        browsers.teller.update(event)
    browsers.end()
    async with asyncio.timeout(60):
        rest = [message async for message in messages if message != COMMENT]
    assert told(rest[-1])[1]["outcome"]["status"] == "completed"
