"""``nervenet launch --web``: the page of a run, by a process of its own, so that it is never in the run's way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .http_access import Access
from .output import warn
from .web_server import Place, clock, serve_web

if TYPE_CHECKING:
    from nervenet.nodes.web.browsers import Browsers

END_S = 5.0  # for the last news, and then it is killed
LAST_NEWS_S = 1.0  # how long it waits for the end of the run, when the launch has ended
NICER = 15  # so much less of a processor than the run's nodes, where both want one


class WebBeside:
    """The process that shows a launch; told which broker to follow. `exit_code` is known once it has ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    def follow(self, broker: str, keys: str | None, *, insecure: bool) -> None:
        """Have it show the run of this broker from now on."""
        self.tell({"broker": broker, "keys": keys, "insecure": insecure})

    def ended(self, folder: Path) -> None:
        """Have it show what stands in a run's folder, if it has not heard how the run ended."""
        self.tell({"folder": str(folder)})

    def tell(self, fields: Mapping[str, Any]) -> None:
        """Send it a line; one that has died reads no more, and the run goes on."""
        assert self._process.stdin is not None  # noqa: S101
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(fields).encode() + b"\n")
            self._process.stdin.flush()


@contextmanager
def web_beside(place: Place) -> Iterator[WebBeside]:
    """Yield the process that shows a launch at a place; it ends with this block, or when this process does."""
    command = [sys.executable, "-m", __name__]
    inherited = place.listener.fileno()
    with place.listener:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(inherited,),
            start_new_session=True,  # Ctrl-C ends the launch, and the launch ends this
        )
    beside = WebBeside(process)
    access = place.access
    fields = {"token": access.token, "certificate": access.certificate, "key": access.key}
    beside.tell({"listener": inherited, "host": place.host, "url": place.url, **fields})
    try:
        yield beside
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    """Serve as the first line on standard input says, follow whom further lines name, and end with it."""
    try:
        asyncio.run(_serve(sys.stdin.buffer))
    except Exception as error:  # noqa: BLE001 - the run goes on, and so does the launch
        _gave_up(error)
        return 1
    return 0


async def _serve(stdin: IO[bytes]) -> None:
    from nervenet.nodes.web.browsers import Browsers
    from nervenet.nodes.web.teller import Teller

    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, stdin)
    try:
        if first := await lines.readline():
            said = json.loads(first)
            access = Access(said["token"], said["certificate"], said["key"])
            place = Place(socket.socket(fileno=said["listener"]), said["host"], access, said["url"])
            browsers = Browsers(Teller(), clock)

            def runs() -> list[dict[str, Any]]:
                return [browsers.teller.summary(browsers.teller.run.view.run)]

            await serve_web(place, browsers, _follow(browsers, lines), runs=runs)
    finally:
        transport.close()


async def _follow(browsers: Browsers, lines: asyncio.StreamReader) -> None:
    """Follow the broker that the last line names, until there are no more lines and the run has ended."""
    from nervenet.nodes.web.sources import follow_broker, told_of

    with contextlib.suppress(OSError):
        os.nice(NICER)  # not before: until here it is one process among those that start

    async def follow(said: dict[str, Any]) -> None:
        try:
            await follow_broker(browsers, **said)
        except Exception as error:  # noqa: BLE001 - what has come is shown all the same
            _gave_up(error)

    folder: Path | None = None
    following: asyncio.Task[None] | None = None
    try:
        while line := await lines.readline():
            said = json.loads(line)
            folder = Path(said["folder"]) if "folder" in said else None
            if folder is None:
                await _cancelled(following)
                following = asyncio.create_task(follow(said))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_NEWS_S if browsers.looking else 0.0):
                while browsers.teller.live:  # noqa: ASYNC110 - it is pure, and tells nobody
                    await asyncio.sleep(0.02)
        if browsers.looking and browsers.teller.live and folder is not None:
            browsers.teller.show((await asyncio.to_thread(told_of, folder)).run)
    finally:
        await _cancelled(following)


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


def _gave_up(error: Exception) -> None:
    warn(f"the web view has ended: {type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
