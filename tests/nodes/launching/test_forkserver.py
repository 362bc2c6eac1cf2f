"""The fork server, on the other end of a socket."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from nervenet.nodes.launching import forkserver, forkserver_client
from nervenet.nodes.launching.forkserver import PRELOAD, MessageReader, send
from nervenet.nodes.launching.forkserver_client import ForkServerClient, ForkServerError

PATIENCE_S = 60.0
SET_WAKEUP_FD = signal.set_wakeup_fd


async def until(condition: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def pair() -> tuple[socket.socket, MessageReader]:
    ours, theirs = socket.socketpair()
    return ours, MessageReader(theirs)


def close(ours: socket.socket, reader: MessageReader) -> None:
    ours.close()
    reader.sock.close()


def test_messages_come_out_whole_with_their_descriptors() -> None:
    ours, reader = pair()
    reading, writing = os.pipe()
    send(ours, {"spawn": 1, "descriptors": 2, "job": {"kind": "x" * 1000}}, (reading, writing))
    send(ours, {"signal": 5, "number": 9})
    found = reader.read() + reader.read()  # the system keeps descriptors with the bytes that they came with
    assert [message.get("spawn", message.get("signal")) for message, _ in found] == [1, 5]
    (first, second), none = found[0][1], found[1][1]
    os.write(second, b"hello")
    assert os.read(first, 9) == b"hello"
    assert none == []
    for descriptor in (reading, writing, first, second):
        os.close(descriptor)
    close(ours, reader)


FOLDER = "runs/\udcff"  # of a name that is no UTF-8


def folder_received() -> object:
    ours, reader = pair()
    try:
        send(ours, {"remove_at_end": FOLDER})
        return reader.read()[0][0]["remove_at_end"]
    finally:
        close(ours, reader)


def test_a_folder_may_have_any_name_that_the_system_knows() -> None:
    assert folder_received() == FOLDER


def test_taken_for_utf8_its_name_could_not_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forkserver, "OF_PATHS", "strict")
    with pytest.raises(UnicodeEncodeError):
        folder_received()


def received(count: int) -> list[int]:
    """What comes out of a message that `count` descriptors go with; all of them are closed."""
    ours, reader = pair()
    reading, writing = os.pipe()
    forkserver.send(ours, {"spawn": 1, "descriptors": count}, (writing,) * count)
    found: list[tuple[dict[str, object], list[int]]] = []
    while not found:
        found = reader.read()
    ((_, descriptors),) = found
    for descriptor in (reading, writing, *descriptors):
        os.close(descriptor)
    close(ours, reader)
    return descriptors


@pytest.mark.parametrize("count", [0, 1, 16, 128, 129, 300])
def test_one_process_can_host_many_nodes(count: int) -> None:
    assert len(set(received(count))) == count


def test_descriptors_beyond_what_a_read_takes_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forkserver, "MAX_DESCRIPTORS", 16)
    receive = socket.recv_fds
    monkeypatch.setattr(forkserver, "send", all_at_once)
    monkeypatch.setattr(socket, "recv_fds", lambda sock, size, most: receive(sock, size, 16))
    with pytest.raises(AssertionError):
        test_one_process_can_host_many_nodes(20)


def all_at_once(sock: socket.socket, message: dict[str, object], descriptors: tuple[int, ...]) -> None:
    """Send as if there were no limit."""
    ours, theirs = socket.socketpair()
    send(ours, message)
    socket.send_fds(sock, [theirs.recv(1000)], list(descriptors))
    ours.close()
    theirs.close()


def test_a_message_in_pieces_is_waited_for() -> None:
    ours, reader = pair()
    whole, other = socket.socketpair()
    send(whole, {"preload": ["a", "b"]})
    data = other.recv(1000)
    for at in range(len(data) - 1):
        ours.send(data[at : at + 1])
        assert reader.read() == []
    ours.send(data[-1:])
    assert reader.read() == [({"preload": ["a", "b"]}, [])]
    whole.close()
    other.close()
    close(ours, reader)


def test_it_notices_that_the_other_side_hung_up() -> None:
    ours, reader = pair()
    ours.close()
    assert reader.read() == []
    assert reader.closed
    reader.sock.close()


@pytest.mark.e2e
def test_it_preloads_nothing_that_only_some_need() -> None:
    """Whatever is imported here, every node holds."""
    heavy = ("sklearn", "scipy", "networkx", "matplotlib", "pandas", "click", "rich", "starlette", "uvicorn", "pyarrow")
    program = f"import importlib, sys; [importlib.import_module(m) for m in {PRELOAD!r}]; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in found.stdout.split()}
    unwanted = modules & set(heavy)
    # structlog imports rich where it is installed; the fork server prevents that.
    assert unwanted <= {"rich"}, unwanted


def unneeded(modules: str) -> set[str]:
    """Return what a run of a packaged data set loads of what it has no need of."""
    found = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {"html", "nervenet.models.tables.read"}.intersection(found.stdout.split())


@pytest.mark.e2e
def test_a_packaged_data_set_loads_nothing_that_reads_files() -> None:
    assert not unneeded("nervenet.nodes.launching.node_process, nervenet.nodes.launching.data_shares")


@pytest.mark.e2e
def test_that_it_would_is_seen() -> None:
    assert unneeded("nervenet.nodes.launching.data_shares, nervenet.models.tables.pooling, html") == {
        "html",
        "nervenet.models.tables.read",
    }


class Ended(BaseException):
    """In place of the end of the process."""


@pytest.fixture
def as_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fork server can be had within this process, which keeps its signals and goes on afterwards."""

    def ended(_: int) -> None:
        raise Ended

    monkeypatch.setattr(signal, "set_wakeup_fd", lambda _: -1)
    monkeypatch.setattr(os, "_exit", ended)
    monkeypatch.setattr(forkserver.gc, "freeze", lambda: None)
    monkeypatch.syspath_prepend(tmp_path)
    child = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, child)


def left_behind(tmp_path: Path, *, importing: bool = False, moved: bool = False) -> list[str]:
    """What is left of a folder that is to be removed when the launcher has ended: in the midst of an import, or not."""
    folder = tmp_path / "keys"
    (folder / "allowed").mkdir(parents=True)
    for name in ("north.key", "allowed/north.pub"):
        (folder / name).touch()
    ours, theirs = socket.socketpair()
    pipe_r, pipe_w = os.pipe()

    def end() -> None:
        send(ours, {"remove_at_end": str(folder)})
        ours.close()
        os.close(pipe_w)

    server = forkserver.ForkServer(theirs, pipe_r)
    if importing:
        (tmp_path / "endless_import.py").write_text("import sys, time\nsys.end()\nwhile True: time.sleep(0.01)\n")
        sys.end = end  # type: ignore[attr-defined]
        send(ours, {"preload": ["endless_import"]})
        with pytest.raises(Ended):
            server.serve()
        del sys.end  # type: ignore[attr-defined]
    else:
        end()
        if moved:  # and another one has its name by then, of the launch that resumes the run
            server._read()
            folder.rename(tmp_path / "old")
            folder.mkdir()
            (folder / "new.key").touch()
        server.serve()
    for descriptor in (pipe_r, server._wake_r, server._wake_w, *(each for each, _ in server._folders)):
        os.close(descriptor)
    theirs.close()
    assert SET_WAKEUP_FD(-1) == -1  # or the next event loop here would write to what is closed
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.key"))


@pytest.mark.parametrize("importing", [False, True])
@pytest.mark.usefixtures("as_a_process")
def test_secrets_go_with_the_launcher(tmp_path: Path, importing: bool) -> None:
    assert left_behind(tmp_path, importing=importing) == []
    assert not (tmp_path / "keys").exists()


@pytest.mark.e2e
@pytest.mark.parametrize("looks", [True, False])
def test_it_ends_with_the_launcher_while_it_imports_its_own_modules(tmp_path: Path, looks: bool) -> None:
    """That takes half a minute on a busy machine, and Ctrl-C comes at any time."""
    (tmp_path / "endless.py").write_text("import time\nprint('importing', flush=True)\nwhile True: time.sleep(0.01)\n")
    ours, theirs = socket.socketpair()
    pipe_r, pipe_w = os.pipe()
    fault = "from contextlib import nullcontext; f._ending_with_launcher = nullcontext;"
    code = f"from nervenet.nodes.launching import forkserver as f; {'' if looks else fault}"
    code += f"f.PRELOAD = ['endless']; f.main({theirs.fileno()}, {pipe_r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], pass_fds=(theirs.fileno(), pipe_r), stdout=subprocess.PIPE, cwd=tmp_path
    )
    assert process.stdout is not None
    try:
        for descriptor in (theirs.detach(), pipe_r):
            os.close(descriptor)
        assert process.stdout.readline() == b"importing\n"
        os.close(pipe_w)
        if looks:
            assert process.wait(PATIENCE_S) == 1
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        ours.close()


@pytest.mark.usefixtures("as_a_process")
def test_a_later_folder_of_that_name_stays(tmp_path: Path) -> None:
    assert left_behind(tmp_path, moved=True) == ["keys/new.key"]


@pytest.mark.usefixtures("as_a_process")
def test_without_that_word_they_would_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forkserver.ForkServer, "_remove_folders", lambda _: None)
    assert left_behind(tmp_path) == ["keys/north.key"]


def test_a_fork_server_here_would_take_the_signals_of_this_process(tmp_path: Path) -> None:
    child = signal.getsignal(signal.SIGCHLD)
    try:
        with pytest.raises(AssertionError):
            left_behind(tmp_path)
    finally:
        signal.signal(signal.SIGCHLD, child)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a fork server on a busy machine the time to end its children."""
    monkeypatch.setattr(forkserver_client, "CLOSE_S", PATIENCE_S)


@pytest.fixture
async def client(tmp_path: Path, patient: None) -> AsyncIterator[ForkServerClient]:
    client = ForkServerClient()
    client.attach()
    yield client
    client.close()


async def asleep(client: ForkServerClient, tmp_path: Path) -> int:
    """Fork a child that does nothing but wait for a report server that is nowhere."""
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    job = {
        "kind": "broker", "bind": "tcp://127.0.0.1:0", "advertise": None, "within_s": 1000, "run": "r",
        "report_server": {"control": "tcp://127.0.0.1:1", "bulk": "tcp://127.0.0.1:1"}, "stop_by": signal.SIGUSR1,
    }  # fmt: skip
    try:
        return await client.spawn(job, [log], within_s=PATIENCE_S)
    finally:
        os.close(log)


@pytest.mark.e2e
async def test_children_are_forked_and_signaled_and_their_exits_reported(
    client: ForkServerClient, tmp_path: Path
) -> None:
    ends: dict[int, int] = {}
    client.exited = ends.__setitem__
    pids = [await asleep(client, tmp_path) for _ in range(2)]
    assert len(set(pids)) == 2
    client.signal(pids[0], signal.SIGKILL)
    await until(lambda: pids[0] in ends)
    assert ends == {pids[0]: -signal.SIGKILL}
    client.signal(pids[0], signal.SIGKILL)  # it has been reaped: nobody is hit
    client.signal(pids[1], signal.SIGUSR1)
    await until(lambda: pids[1] in ends)
    assert (tmp_path / "log").read_text() == ""  # nothing but the signal has ended it


@pytest.mark.e2e
async def test_a_job_that_cannot_be_done_ends_its_child_alone(client: ForkServerClient, tmp_path: Path) -> None:
    ends: dict[int, int] = {}
    client.exited = ends.__setitem__
    with (tmp_path / "log").open("ab") as log:
        pid = await client.spawn({"kind": "nonsense"}, [log.fileno()], within_s=PATIENCE_S)
    await until(lambda: pid in ends)
    assert ends[pid] == 1
    assert "nonsense" in (tmp_path / "log").read_text()
    assert await asleep(client, tmp_path) > 0


@pytest.mark.e2e
async def test_a_name_that_cannot_be_imported_is_no_reason_to_die(client: ForkServerClient, tmp_path: Path) -> None:
    client.preload(["no.such.module", "json"])
    assert await asleep(client, tmp_path) > 0


@pytest.mark.e2e
@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.usefixtures("patient")
async def test_nobody_outlives_the_launcher(tmp_path: Path, stopped: bool) -> None:
    client = ForkServerClient()
    client.attach()
    pid = await asleep(client, tmp_path)
    if stopped:
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: is_stopped(pid))
    client.close()
    await until(lambda: gone(pid))


async def left_by_a_fork_server_that_is_stopped(tmp_path: Path) -> list[bool]:
    """Whether children outlive an order to kill one, and the launcher's end, where a stopped fork server has to do it.

    The second one is stopped itself.
    """
    client = ForkServerClient()
    client.attach()
    pids = [await asleep(client, tmp_path) for _ in range(2)]

    for pid in (pids[1], client._process.pid):
        os.kill(pid, signal.SIGSTOP)
        await until(lambda pid=pid: is_stopped(pid))  # type: ignore[misc]
    client.signal(pids[0], signal.SIGKILL)
    await until(lambda: gone(pids[0]) or is_stopped(client._process.pid))
    left = [not gone(pids[0])]
    client.close()
    await until(lambda: gone(pids[1]) or is_stopped(pids[1]))  # who was killed is no longer stopped, and dies soon
    left.append(not gone(pids[1]))
    for pid in (pid for pid, stays in zip(pids, left, strict=True) if stays):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def state(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return psutil.STATUS_DEAD


def gone(pid: int) -> bool:
    return state(pid) in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def is_stopped(pid: int) -> bool:
    return state(pid) == psutil.STATUS_STOPPED


@pytest.mark.e2e
@pytest.mark.usefixtures("patient")
async def test_a_fork_server_that_was_stopped_leaves_nobody(tmp_path: Path) -> None:
    assert await left_by_a_fork_server_that_is_stopped(tmp_path) == [False, False]


@pytest.mark.e2e
async def test_not_continued_it_would_be_killed_without_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ForkServerClient, "_wake", lambda _: None)
    monkeypatch.setattr(forkserver_client, "CLOSE_S", -0.9)
    assert await left_by_a_fork_server_that_is_stopped(tmp_path) == [True, True]


@pytest.mark.e2e
async def test_the_death_of_the_fork_server_is_reported(tmp_path: Path) -> None:
    client = ForkServerClient()
    client.attach()
    reasons: list[str] = []
    client.died = reasons.append
    pid = await asleep(client, tmp_path)
    client._process.kill()
    await until(lambda: bool(reasons))
    assert "died" in reasons[0]
    with pytest.raises(ForkServerError):
        await asleep(client, tmp_path)
    client.close()
    # Its orphans watch the launcher, not the fork server.
    await until(lambda: gone(pid))
