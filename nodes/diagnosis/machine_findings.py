"""What the facts of a machine mean for a node, and what to do about them; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nervenet.broker.versions import OURS

from .finding import Finding, bytes_text, ok, problem, warning
from .machine_facts import Folder, Libraries, Limits, Ports

LEAST_PYTHON = (3, 11)
LEAST_FILES = 256
"""Of a node by itself it is about 70; the rest is for its program, and for who dials it."""

LEAST_PROCESSES = 64
LOW_MEMORY, LEAST_MEMORY = 1 << 30, 256 << 20
LOW_DISK, LEAST_DISK = 1 << 30, 64 << 20
"""Bytes: a run folder of 10,000 rounds takes some tens of megabytes, and three checkpoints of the model."""


def judge_libraries(facts: Libraries) -> Iterator[Finding]:
    python = ".".join(map(str, facts.python))
    if facts.python < LEAST_PYTHON:
        yield problem("versions", f"Python {python}", "3.11 or newer", "install nervenet with a newer Python")
    for name, least in facts.least.items():
        found = facts.installed.get(name)
        if found is None:
            yield problem("versions", f"{name} is not installed", f"{least} or newer", f"pip install '{name}>={least}'")
        elif _numbers(found) < _numbers(least):
            yield problem("versions", f"{name} {found}", f"{least} or newer", f"pip install '{name}>={least}'")
    if not facts.curve:
        remedy = (
            "install pyzmq's own wheel (pip install --force-reinstall pyzmq); without it no address leaves this machine"
        )
        yield warning("versions", f"libzmq {facts.libzmq} cannot encrypt", "libzmq with CURVE", remedy)
    shown = ("pyzmq", "numpy", "scikit-learn")
    packages = ", ".join(f"{name} {facts.installed[name]}" for name in shown if name in facts.installed)
    curve = "with CURVE" if facts.curve else "without CURVE"
    yield ok("versions", f"{OURS}, Python {python}, libzmq {facts.libzmq} {curve}, {packages}")


def judge_limits(facts: Limits, needed_files: int) -> Iterator[Finding]:
    """Yield findings about open files, processes and memory; a node of the experiment opens `needed_files`."""
    needed = max(LEAST_FILES, needed_files)
    if facts.files < needed:
        remedy = f"raise the limit: ulimit -n {needed} (permanently: LimitNOFILE, or /etc/security/limits.conf)"
        yield problem("files", f"a process may open {facts.files:,} files", f"{needed:,} or more", remedy)
    else:
        yield ok("files", f"a process may open {_many(facts.files)} files; a node needs about {needed:,}")
    if facts.processes < LEAST_PROCESSES:
        remedy = "raise the limit (ulimit -u, or pids.max of the container)"
        yield problem(
            "files", f"{facts.processes:,} processes and threads may be", f"{LEAST_PROCESSES} or more", remedy
        )
    if facts.memory is None:
        yield ok("memory", "how much is free cannot be known here")
    elif facts.memory < LOW_MEMORY:
        make = problem if facts.memory < LEAST_MEMORY else warning
        remedy = "end other programs, or leave the rows on disk (data.in_memory_mb)"
        yield make("memory", f"{bytes_text(facts.memory)} are free", f"{bytes_text(LOW_MEMORY)} or more", remedy)
    else:
        yield ok("memory", f"{bytes_text(facts.memory)} are free")


def judge_folder(facts: Folder) -> Iterator[Finding]:
    if facts.why:
        remedy = "choose another folder by --out, or change its owner or mode"
        yield problem("disk", f"{facts.parent} cannot be written: {facts.why}", "a folder for run folders", remedy)
    elif facts.free < LOW_DISK:
        make = problem if facts.free < LEAST_DISK else warning
        free = f"{bytes_text(facts.free)} are free in {facts.parent}"
        yield make("disk", free, f"{bytes_text(LOW_DISK)} or more", "remove old run folders, or choose another --out")
    else:
        yield ok("disk", f"{facts.path} can be written, {bytes_text(facts.free)} are free")


def judge_ports(facts: Ports) -> Iterator[Finding]:
    shown = f"{facts.ports[0]} to {facts.ports[-1]}"
    if facts.why:
        remedy = "look at the address: it has to be one of this machine"
        yield problem("ports", f"{facts.host} cannot be bound: {facts.why}", "an interface of this machine", remedy)
    elif facts.taken:
        taken = ", ".join(map(str, facts.taken))
        remedy = "end who has it (ss -ltnp shows whom), or choose another port for the broker (--bind)"
        yield problem("ports", f"port {taken} of {facts.host} is in use", f"{shown} free for a broker", remedy)
    else:
        yield ok("ports", f"{shown} of {facts.host} are free for a broker")


def judge_interface(facts: Ports) -> Finding:
    """Judge where a node's inbox would be, of which nobody can say without a broker whether others reach it."""
    if facts.why or facts.taken:
        remedy = "look at network.bind: it has to be an address of this machine"
        found = f"{facts.host} cannot be bound: {facts.why or 'in use'}"
        return problem("inbox", found, "an interface of this machine", remedy)
    found = f"{facts.host} can be bound; whether others reach it is not known without a broker"
    return warning("inbox", found, "", "give --broker, once it runs")


def _many(count: int) -> str:
    return f"{count:,}" if count < 1 << 30 else "any number of"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
