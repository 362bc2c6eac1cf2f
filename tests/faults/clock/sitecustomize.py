"""What a test sets or asks of running processes, where an environment variable says so.

NERVENET_TEST_CLOCK is a file: lines ``PID SECONDS`` set the wall clock of a process, and add up. NERVENET_TEST_TASKS is
a prefix of files: each process writes to ``PREFIX.PID`` how many asyncio tasks it has, once a second.
"""

import os
import time

PATH = os.environ.get("NERVENET_TEST_CLOCK", "")
TASKS = os.environ.get("NERVENET_TEST_TASKS", "")
LOOK_EVERY_S = 0.05

if PATH:
    real = time.time
    state = {"looked": 0.0, "by": 0.0}

    def jumped() -> float:
        """Return the time as this process has it."""
        now = time.monotonic()
        if now - state["looked"] > LOOK_EVERY_S:
            state["looked"], state["by"] = now, read()
        return real() + state["by"]

    def read() -> float:
        """Return by how many seconds the clock of this process has been set."""
        try:
            with open(PATH) as file:  # noqa: PTH123  (pathlib would be imported by every process)
                jumps = [line.split() for line in file]
        except OSError:
            return 0.0
        return sum(float(by) for pid, by in jumps if int(pid) == os.getpid())

    time.time = jumped

if TASKS:
    import asyncio
    import threading

    run = asyncio.Runner.run

    def counted(self, coroutine, **more):
        """Run a coroutine, and count the tasks meanwhile."""
        loop = self.get_loop()

        def count():
            while not loop.is_closed():
                with open(f"{TASKS}.{os.getpid()}", "w") as file:  # noqa: PTH123
                    file.write(str(len(asyncio.all_tasks(loop))))
                time.sleep(1.0)

        threading.Thread(target=count, daemon=True).start()
        return run(self, coroutine, **more)

    asyncio.Runner.run = counted
