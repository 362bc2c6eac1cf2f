"""What a site has of its own: keys, an experiment file, a data file. Read as a node reads them, and judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nervenet.broker.errors import KeysError
from nervenet.broker.security.allow_list import read_allow_list
from nervenet.broker.security.plain import BROKER, Plain
from nervenet.broker.sockets import Security
from nervenet.models.data.data import DataError

from ..config.factory import build_model
from ..config.keys import ExperimentError
from ..config.schema import Experiment, NetworkConfig, is_file_name
from ..consent.in_words import conflicts, policy_lines
from ..launching.data_shares import load_for
from ..runtime.printable import listed
from ..runtime.secured import security_of
from .finding import Finding, bytes_text, ok, problem, warning

if TYPE_CHECKING:
    from nervenet.models.data.data import Dataset

DIALED = {"federated": "coordinator", "gossip": "peer"}
"""Whom a node of each mode dials, beside the broker."""


def read_keys(network: NetworkConfig, name: str | None) -> tuple[Security | None, list[Finding]]:
    """Return how this site's connections are secured, None where that cannot be, and what is wrong with its keys."""
    if network.insecure:
        said = "--insecure: nothing is encrypted, and nobody authenticated"
        return Plain(insecure=True), [warning("keys", said, "keys", "make some: nervenet keys new NAME")]
    try:
        security = security_of(network, name)
    except KeysError as error:
        return None, [problem("keys", str(error))]
    return security, list(judge_keys(security))


def judge_keys(security: Security) -> Iterator[Finding]:
    if isinstance(security, Plain):
        yield ok("keys", "no keys are given (--keys): connections stay within this machine, and are not encrypted")
        return
    allowed, keys, folder = security.gate.allowed, security.keys, security.gate.folder
    for text in allowed.problems:
        yield problem("keys", f"{text}, and so allows nobody")
    if security.server(BROKER) is None:
        yield problem("keys", security.unknown(BROKER))
    own = read_allow_list(folder).by_name  # without what a gate adds for its own node
    names = [f"{entry.name} ({', '.join(sorted(entry.roles))})" for _, entry in sorted(own.items())]
    yield ok("keys", f"the key of {keys.name} in {folder}; it allows {listed(names) or 'nobody'}")


def judge_allowed(security: Security, mode: str) -> Iterator[Finding]:
    """Yield what is missing among the allowed keys for a run of a mode."""
    if isinstance(security, Plain):
        return
    role, own = DIALED[mode], security.keys.name
    allowed = read_allow_list(security.gate.folder).of_role(role)
    # A coordinator dials none; a peer that allows itself alone dials nobody.
    if not [entry for entry in allowed if entry.name != own or role == "coordinator"]:
        remedy = f"nervenet keys allow FILE.pub --role {role} --keys {security.gate.folder}"
        yield warning("keys", f"no key is allowed as {role}, whom a node of a {mode} run dials", "at least one", remedy)


def judge_experiment(experiment: Experiment, file: Path | None, ineffective: list[str]) -> Iterator[Finding]:
    for line in ineffective:
        yield warning("experiment", line)
    what = f"{experiment.mode}, {experiment.model.name}, {experiment.nodes} nodes, {experiment.rounds} rounds"
    yield ok("experiment", f"{file or 'the defaults and options'}: {what}")


def judge_policy(experiment: Experiment, run: str) -> Iterator[Finding]:
    """Yield what the site's own policy would decline in such a run; a coordinator's may be another one."""
    allow = experiment.site.allow
    if allow.everything:
        return
    declined = conflicts(experiment, run or None)
    for line in declined:
        remedy = "if the run is so, change the site's own file; else tell doctor of the run (--rounds, --strategy, …)"
        yield warning("policy", f"this site would decline {line}", "", remedy)
    if not declined:
        yield ok("policy", f"such a run is within this site's policy: {'; '.join(policy_lines(allow))}")


def judge_data(experiment: Experiment) -> Iterator[Finding]:
    """Read this site's file as a node would, which may take a while."""
    data = experiment.data
    if data.sites:
        yield warning("data", "data.sites is for nervenet launch; a node has its own rows", "data.name (--data)")
        return
    try:
        found = load_for(build_model(experiment), experiment, in_memory_mb=data.in_memory_mb)
    except (DataError, ExperimentError) as error:
        yield problem("data", str(error))
        return
    for note in found.notes:
        yield warning("data", note)
    if len(found) < data.min_rows:
        least = f"a site takes part with at least {data.min_rows} (data.min_rows)"
        yield problem("data", f"{_described(found, data.name)}; {least}")
        return
    yield ok("data", _described(found, data.name))


def _described(found: Dataset, name: str) -> str:
    size = f", {bytes_text(Path(name).stat().st_size)}" if is_file_name(name) and Path(name).is_file() else ""
    target = f", target {found.target}" if found.target else ""
    return f"{name}: {len(found.X):,} rows, {len(found.columns)} columns{target}{size}"
