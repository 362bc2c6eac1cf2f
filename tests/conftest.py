"""For all rooms: no test is timed, each runs the same examples every time, and only one marked e2e starts a process."""

import _posixsubprocess
import asyncio
import contextlib
import importlib
import os
import random
import socket
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, settings
from zmq.utils import garbage

untimed: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("house", derandomize=True, max_examples=50, **untimed)
settings.register_profile("explore", max_examples=500, **untimed)  # pytest --hypothesis-profile=explore
settings.load_profile("house")

with contextlib.suppress(ImportError):  # else it draws what stands in modules that other tests have written by then
    importlib.import_module("hypothesis.internal.conjecture.providers").is_local_module_file = lambda _: False

STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "fork_exec"}


class ProcessGuard:
    """An audit hook that refuses to start a process for a test that is not marked e2e."""

    def __init__(self) -> None:
        self.unmarked = ""  # the test that runs, if it may not start any
        self.refused: list[str] = []

    def __call__(self, event: str, _arguments: Any) -> None:
        if self.unmarked and event in STARTS:
            self.refused.append(event)
            raise RuntimeError(f"{self.unmarked} starts a process ({event}): mark it e2e")


GUARD = ProcessGuard()
sys.addaudithook(GUARD)
fork_exec = _posixsubprocess.fork_exec


def guarded_fork_exec(*arguments: Any) -> int:
    """Start a process as multiprocessing does, past all audit hooks."""
    GUARD("fork_exec", arguments)
    return fork_exec(*arguments)


_posixsubprocess.fork_exec = guarded_fork_exec


def pytest_configure() -> None:
    """Have matplotlib know the fonts before any test: where its list of them cannot be read, it starts a process.

    That of pytest writes the list, and those of pytest-xdist read it before any other can write it again.
    """
    importlib.import_module("matplotlib.font_manager")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests: at the end, one of them would keep one process busy while the others idle."""
    items.sort(key=lambda item: 0 if item.path.name == "test_pages.py" else 1 if "e2e" in item.path.parts else 2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    GUARD.unmarked = "" if item.get_closest_marker("e2e") else item.nodeid
    GUARD.refused.clear()
    try:
        return (yield)
    finally:
        GUARD.unmarked = ""


OPENED: list[weakref.ref[zmq.Context[Any]]] = []
begin_context = zmq.Context.__init__


def noted_context(context: zmq.Context[Any], *arguments: Any, **options: Any) -> None:
    begin_context(context, *arguments, **options)
    OPENED.append(weakref.ref(context))


zmq.Context.__init__ = noted_context  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fail the test that leaves a context open: found when it is collected, it would fail any other."""
    result = yield
    contexts = [context for each in OPENED if (context := each()) is not None]
    OPENED.clear()
    kept = (zmq.Context._instance, garbage.gc._context)  # of the whole process
    left = [each for each in contexts if not (each.closed or each._shadow or any(each is own for own in kept))]
    if left:
        pytest.fail(f"{item.nodeid} leaves open: {left}")
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    result = yield
    if GUARD.refused:  # and the test went on without
        pytest.fail(f"{item.nodeid} starts a process ({', '.join(GUARD.refused)}): mark it e2e")
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what was printed and logged in a form that can be sent: half a character ends a worker of pytest-xdist."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session", autouse=True)
def state_of_programs(tmp_path_factory: pytest.TempPathFactory) -> Generator[None, None, None]:
    """Have nodes without a run folder keep their audit logs among the files of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def refused() -> list[str]:
    """How the running test has tried to start a process; cleared, that is forgiven."""
    return GUARD.refused


@pytest.fixture
def allocated() -> Callable[..., int]:
    """Measure how many bytes a call allocates at its peak, where `most` are allowed.

    Other threads allocate as well, such as the one by which this process is given its next tests: what is too much is
    measured again, and what the call itself takes it takes each time.
    """

    def measure(call: Callable[[], object], most: float) -> int:
        for _ in range(5):
            tracemalloc.start()
            try:
                call()
                used = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            if used <= most:
                break
        return used

    return measure


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds pass for the running event loop, at once: what they are waited for is due."""

    def pass_(seconds: float) -> None:
        loop = asyncio.get_running_loop()
        time = loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + seconds)

    return pass_


@pytest.fixture
def three_free_ports() -> Callable[[], int]:
    """Find the first of three free ports in a row, as a broker takes them; others at each call.

    They are below the range that the system hands out by itself, above the one from which a broker draws, and each
    process of pytest-xdist has its own.
    """
    begin = 20_100 + 1_000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 12)
    places = iter(random.SystemRandom().sample(range(begin, begin + 999, 3), 333))

    def find() -> int:
        for first in places:
            with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
                for port in range(first, first + 3):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                return first
        raise AssertionError("no free ports")

    return find


@pytest.fixture
def ports(three_free_ports: Callable[[], int]) -> int:
    """The first of three free ports in a row."""
    return three_free_ports()


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have nodes with ``--model held:Held`` stand still in a round, until what this gives is called.

    Whatever a test does to a run meanwhile, the run cannot have ended before.
    """
    folder = Path(__file__).with_name("e2e")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("HELD_UNTIL", str(tmp_path / "go-on"))
    return (tmp_path / "go-on").touch
