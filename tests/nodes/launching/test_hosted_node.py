"""How often a node of a process is reported to have failed."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import hosted_node
from nervenet.nodes.runtime.identity import NodeFailed
from nervenet.nodes.runtime.report_client import ReportFailed


async def reported_again_after(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The exit code of a node whose report fails, and how often it is reported that it has failed."""
    again: list[str] = []

    class Finished:
        session = SimpleNamespace(stop_deciding=lambda: None)

        async def __aenter__(self) -> "Finished":
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def rounds(self) -> AsyncIterator[None]:
            for _ in range(0):
                yield

    async def fails(*_: Any) -> None:
        raise failure

    async def report_once(*_: Any, **__: Any) -> None:
        again.append("result")

    monkeypatch.setattr(hosted_node, "build_node", lambda *_: Finished())
    monkeypatch.setattr(hosted_node, "report_end", fails)
    monkeypatch.setattr(hosted_node, "report_once", report_once)
    job = {"report_server": {}, "run": "r"}
    spec = {"name": "a", "role": "client", "run_dir": ""}
    rest: tuple[Any, ...] = (None, SimpleNamespace(context=None, secure=lambda _: None, hosted=[]))
    return await hosted_node.host_node(job, Experiment(), spec, *rest), len(again)


async def test_what_the_launcher_refuses_is_not_reported_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await reported_again_after(ReportFailed("the launcher refuses it"), monkeypatch) == (1, 0)


async def test_any_other_failure_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await reported_again_after(NodeFailed("the disk is full"), monkeypatch) == (1, 1)
