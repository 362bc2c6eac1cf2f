"""A real Prometheus fetches the figures of a run while it goes on, and finds nothing to complain about."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")

needs_it = pytest.mark.skipif(not (PROMETHEUS and PROMTOOL), reason="there is no prometheus with its promtool here")


@pytest.fixture
def run(launch: Start) -> Any:
    """A federated run that goes on until it is stopped, and whose metrics are told."""
    words = ("--mode", "federated", "--data", "iris", "--nodes", 2, "--rounds", 1_000_000)
    return launch(*words, "--set", "evaluation.baseline=false", "--metrics", "127.0.0.1:0")


def endpoint(command: Any) -> str:
    return str(command.says("metrics http://").split()[1])


@contextmanager
def prometheus(target: str, port: int, folder: Path) -> Iterator[str]:
    """A Prometheus at this port that fetches from one target five times a second; gives its address."""
    config = {"global": {"scrape_interval": "200ms"}, "scrape_configs": [{"job_name": "nervenet"}]}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]  # type: ignore[index]
    (folder / "prometheus.yml").write_text(json.dumps(config))  # which YAML is, too
    address = f"127.0.0.1:{port}"
    words = [str(PROMETHEUS), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    log = (folder / "prometheus.log").open("wb")
    with log, subprocess.Popen([*words, f"--web.listen-address={address}"], stdout=log, stderr=log) as process:
        try:
            yield f"http://{address}"
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                process.kill()


def value(address: str, query: str) -> float:
    """Return what a query finds; zero where nobody answers yet."""
    try:
        found = httpx.get(f"{address}/api/v1/query", params={"query": query}, trust_env=False, timeout=60).json()
    except (httpx.HTTPError, ValueError):
        return 0.0
    return sum(float(each["value"][1]) for each in found.get("data", {}).get("result", []))


@needs_it
def test_prometheus_sees_rounds_go_on(run: Any, until: Start, ports: int, tmp_path: Path) -> None:
    target = endpoint(run)
    run.in_round(5)
    text = httpx.get(target, trust_env=False, timeout=60).content
    checked = subprocess.run(
        [str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, b"")
    with prometheus(httpx.URL(target).netloc.decode(), ports, tmp_path) as address:
        rounds = 'sum(nervenet_rounds_total{role="coordinator"})'
        first = until(lambda: value(address, rounds), "Prometheus has fetched")
        until(lambda: value(address, rounds) > first, "Prometheus sees further rounds")
        median = "histogram_quantile(0.5, sum by (le) (nervenet_round_seconds_bucket))"
        until(lambda: value(address, median) > 0, "how long a round takes")
        until(lambda: value(address, 'nervenet_nodes{role="client", state="living"}') == 2, "who lives")
    run.kill(signal.SIGINT)
    assert run.wait() == 130


def test_a_monitor_and_a_broker_tell_the_same_families(nervenet: Start) -> None:
    broker = nervenet("broker", "--bind", "tcp://127.0.0.1:0", "--metrics", "127.0.0.1:0")
    address = broker.says("directory").split()[-1]
    monitor = nervenet("monitor", "--broker", address, "--metrics", "127.0.0.1:0")
    texts = [httpx.get(endpoint(each), trust_env=False, timeout=60).text for each in (broker, monitor)]
    families = [[line for line in text.splitlines() if line.startswith("# TYPE")] for text in texts]
    assert families[0] == families[1]
    assert "# TYPE nervenet_rounds_total counter" in families[0]
    for command in (monitor, broker):
        command.kill(signal.SIGTERM)
        assert command.wait() == 143
