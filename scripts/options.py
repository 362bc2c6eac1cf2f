"""The options that launch and node share: a row each, with the key of the experiment file that it sets."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import click
from nervenet.nodes.config.keys import left_open, parse_set
from nervenet.nodes.config.schema import Experiment


@dataclass(frozen=True)
class Flag:
    """An option, by the dotted key that it sets, and its help."""

    key: str
    help: str
    default: str = ""  # where the experiment's default does not say it
    metavar: str = ""  # where the default's type does not say it

    @property
    def name(self) -> str:
        last = self.key.removesuffix(".name").rpartition(".")[2]
        return last.removesuffix("_s").replace("_", "-")


FLAGS = (
    Flag("mode", "federated (a coordinator averages) or gossip (peers exchange with neighbors)"),
    Flag("nodes", "Clients or peers"),
    Flag("rounds", "Rounds of training and exchange"),
    Flag("seed", "Seed of every random draw"),
    Flag(
        "data.name",
        "iris, wine, breast_cancer, digits, diabetes, synthetic, mnist, fashion_mnist, or a file (.csv, .parquet, …)",
    ),
    Flag("data.sites", "In place of --data and a partition: the sites' own files, a node for each", metavar="FILE…"),
    Flag("data.target", "Column to predict", "target, y, label or class, else the last"),
    Flag("data.task", "classification or regression", "what the model can do, else by the target of all sites", "NAME"),
    Flag("data.drop", "Columns to leave out"),
    Flag("data.id", "Column that names each row; it is no input", metavar="COLUMN"),
    Flag("data.weight", "Column of how much each row counts, in training and scores; it is no input", metavar="COLUMN"),
    Flag("data.categorical", "Columns of categories, though they look like numbers"),
    Flag("data.numeric", "Columns of numbers"),
    Flag("data.date", "Columns of dates; their format: --set data.columns.NAME.format=%d/%m/%Y"),
    Flag("data.partition", "Which node holds which rows: iid, dirichlet, shards, quantity or column"),
    Flag("data.alpha", "For dirichlet and quantity; the smaller, the more unequal the nodes"),
    Flag("data.shards_per_node", "For shards: shards of one label per node"),
    Flag("model.name", "mlp, or a scikit-learn estimator such as sklearn.linear_model.SGDClassifier"),
    Flag("model.hidden", "Units of the hidden layer; of several: 64,32"),
    Flag("init", "Start from a saved model: a run folder, or a model file", "weights drawn from the seed", "RUN|MODEL"),
    Flag("training.epochs", "Passes over a node's own rows per round"),
    Flag("training.batch_size", "Rows per step"),
    Flag("training.learning_rate", "Step size of the built-in network"),
    Flag(
        "training.class_weight",
        "balanced: rare classes count more, by their rows at all sites; by label: --set training.class_weight.LABEL=3",
        "all rows count the same",
        "balanced",
    ),
    Flag("federated.strategy", "Federated: how updates become the next global model"),
    Flag("hierarchy.regions", "Federated: divide the clients into so many regions, with an aggregator each", "none"),
    Flag("hierarchy.region_rounds", "Regions: rounds of a region for each round above"),
    Flag("compression", "How updates are encoded, as delta+int8; gossip: with choco", "not at all"),
    Flag("federated.fine_tune", "Federated: epochs of each client alone, after the last round"),
    Flag("gossip.topology", "Gossip: the graph of neighbors; nervenet topology lists them"),
    Flag("gossip.algorithm", "Gossip: how peers exchange and mix; a wrong name lists them"),
    Flag("federated.participation", "Federated: share of the clients asked each round"),
    Flag("federated.sampling", "Federated: who is asked: uniform, weighted (by examples) or round-robin"),
    Flag("federated.quorum", "Federated: share of the answers that closes a round early"),
    Flag("deadline_s", "Seconds after which a round closes with the answers there are", "30"),
    Flag(
        "federated.min_clients",
        "Federated: clients that must be there and answer; 1: one alone may go on",
        "max(2, half of N)",
    ),
    Flag(
        "evaluation.until",
        "Federated: stop at the first round that reaches it, as in accuracy=0.97 or loss=0.1",
        "all rounds",
        "METRIC=X",
    ),
    Flag("evaluation.patience", "Federated: stop after N evaluations without improvement", "all rounds"),
    Flag("evaluation.budget_s", "Federated: seconds, after which the open round is the last", "all rounds", "SECONDS"),
    Flag("network.keys", "This node's key, and those that it allows; see nervenet keys", "none", metavar="DIR"),
    Flag("processes", "Operating-system processes that host the nodes", "one each"),
    Flag(
        "cluster.on",
        "Where these are placed: dask (workers of its own), dask://HOST:PORT or dask+tls://HOST:PORT",
        "this machine",
        "ENGINE",
    ),
)


SIMULATION_FLAGS = (
    Flag("simulation.latency_s", "Seconds that every message is on its way"),
    Flag("simulation.bandwidth", "Bytes a second that each node sends and receives at most", "any number", "X"),
    Flag("simulation.loss", "Share of the messages that never arrive"),
    Flag("simulation.offline", "Share of its time that each client or peer cannot be reached"),
    Flag("simulation.lifetime_s", "Seconds after which each client or peer ends, in the mean", "none ends", "SECONDS"),
    Flag("simulation.step_s", "Seconds that a mini-batch takes"),
)


def experiment_flags(
    *without: str, only: Container[str] | None = None, also: tuple[Flag, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds `FLAGS`, except those named, and ``--set``; the command gets them as ``overrides``.

    With `only`, it adds no others than those of these keys; and `also` further ones.

    Values are parsed like those of ``--set``: a wrong one is reported by the experiment, in the same words wherever it
    stands.
    """
    flags = [flag for flag in FLAGS if flag.name not in without and (only is None or flag.key in only)]
    flags += also

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(**given: Any) -> Any:
            chosen = {flag.key: given.pop(flag.name.replace("-", "_")) for flag in flags}
            overrides = {key: _value(key, text) for key, text in chosen.items() if text not in (None, ())}
            overrides.update(map(_set, given.pop("set")))
            return function(overrides=overrides, **given)

        for add in reversed([*map(_option, flags), SET]):  # the last decorator's option comes first in the help
            add(command)
        return command

    return decorate


def as_flags(overrides: Mapping[str, object]) -> str:
    """Return the words of a command line that say the same."""
    names = {flag.key: flag.name for flag in FLAGS}
    words = []
    for key, value in overrides.items():
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else _toml(value)
        words += [f"--{names[key]}", text] if key in names else ["--set", f"{key}={text}"]
    return shlex.join(words)


def _toml(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def said(overrides: Mapping[str, object]) -> set[str]:
    """Return the keys that are given a value, and not taken back."""
    return {key for key, value in overrides.items() if value is not None}


insecure_flag = click.option(
    "--insecure",
    is_flag=True,
    help="Leave this machine without keys: anybody on the way can read and forge everything.",
)


_HELP = "Any key of the experiment file, dotted; wins over file and flags. Repeatable. KEY=none leaves a key open."
SET = click.option("--set", multiple=True, metavar="KEY=VALUE", help=_HELP)


SEVERAL = ("data.sites", "data.drop", "data.categorical", "data.numeric", "data.date")
"""Keys whose option may be given several times, with several columns each, separated by commas."""

TEXTS = ("data.target", "data.id", "data.weight", "init", "network.keys", "cluster.on")
"""Keys whose values stay text, whatever they look like."""


def columns_of(text: str) -> list[str]:
    """Return the names of columns in a value, separated by commas; one with a comma in quotes."""
    import csv

    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip()]


def _paths_of(text: str) -> list[str]:
    """Return the paths in a value: one, unless it names no file and is several, separated by commas."""
    from os.path import exists  # also of what is too long to be a path, as the names of many files are

    several = columns_of(text)
    return several if len(several) > 1 and not exists(text) else [text]  # noqa: PTH110


_IN_FILE = {"compression": "federated.compression"}  # of keys that mean one of the mode's own table


def _option(flag: Flag) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    value = _default(flag.key)
    if flag.key in SEVERAL:
        metavar, default = flag.metavar or "COLUMN,…", f" [default: {flag.default}]" if flag.default else ""
        return click.option(f"--{flag.name}", metavar=metavar, multiple=True, help=f"{flag.help}.{default}")
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
    metavar = {float: "X", str: "NAME"}.get(type(value), "COLUMN" if flag.key == "data.target" else "N")
    default = "" if shown is None and not flag.default else f" [default: {flag.default or shown}]"
    text = f"{flag.help}.{default}"
    return click.option(f"--{flag.name}", metavar=flag.metavar or metavar, help=text)


def _default(key: str) -> Any:
    return functools.reduce(getattr, key.split("."), Experiment())


def _set(text: str) -> tuple[str, object]:
    key, value = parse_set(text)
    return key, None if left_open(Experiment, key, text.partition("=")[2]) else value


def _value(key: str, text: str | tuple[str, ...]) -> object:
    if isinstance(text, tuple):
        return (
            [path for part in text for path in _paths_of(part)]
            if key == "data.sites"
            else [name for part in text for name in columns_of(part)]
        )
    if left_open(Experiment, _IN_FILE.get(key, key), text):
        return None
    if key == "model.hidden" and "," in text:
        text = f"[{text}]"
    # A string stays one, even where it reads as a number: a column may be called 7.
    if isinstance(_default(key), str) or key in TEXTS:
        return text
    return parse_set(f"{key}={text}")[1]


every_option = click.option(
    "--every",
    "every_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    help="Where the output is no terminal: so often a line of progress. [default: 2]",
)
