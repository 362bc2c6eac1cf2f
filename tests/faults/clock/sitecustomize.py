"""Lets a test set the wall clock of a running process: lines ``PID SECONDS`` of the file NERVENET_TEST_CLOCK add up."""

import os
import time

PATH = os.environ.get("NERVENET_TEST_CLOCK", "")
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
