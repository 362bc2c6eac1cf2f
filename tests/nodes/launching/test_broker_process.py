"""The broker's process: where it is bound, and what becomes of a restart."""

import asyncio
from collections.abc import Mapping
from typing import Any

from nervenet.nodes.config.schema import NetworkConfig
from nervenet.nodes.launching.broker_process import BrokerProcess


class Forks:
    """The jobs that were to be forked, and how restarts failed."""

    def __init__(self) -> None:
        self.binds: list[str] = []
        self.failures: list[str] = []
        self.refusing = ""

    async def spawn(self, job: Mapping[str, Any]) -> None:
        if self.refusing:
            raise RuntimeError(self.refusing)
        self.binds.append(job["bind"])


async def started(forks: Forks) -> BrokerProcess:
    network = NetworkConfig(bind="0.0.0.0", advertise="site-a")
    broker = BrokerProcess(network, forks.spawn, forks.failures.append)
    await broker.start()
    broker.started_at({"directory": "tcp://site-a:5"})
    return broker


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_comes_back_at_the_port_it_had_on_the_interface_it_had() -> None:
    forks = Forks()
    broker = await started(forks)
    assert broker.restart() == "starting it again at once on tcp://site-a:5"
    await turns()
    assert forks.binds == ["tcp://0.0.0.0:0", "tcp://0.0.0.0:5"]
    assert broker.has_died
    assert broker.restart() == "starting it again in 0.5 s on tcp://site-a:5"
    broker.cancel_restarts()


async def test_a_restart_that_fails_is_an_exit_and_one_that_is_cancelled_is_none() -> None:
    forks = Forks()
    broker = await started(forks)
    forks.refusing = "no process could be forked"
    broker.restart()
    await turns()
    assert forks.failures == ["not started (no process could be forked)"]
    broker.restart()
    broker.cancel_restarts()
    await turns()
    assert len(forks.failures) == 1
    assert len(forks.binds) == 1
