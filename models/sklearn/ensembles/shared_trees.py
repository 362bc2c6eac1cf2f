"""Trees that all sites grow together, level by level: the questions, a site's answers, and what comes of them.

First all agree on edges between bins, quantiles of all rows. Then, for some trees at a time, every question has the
nodes so far, and every site counts its rows at the open ones (`histograms`); their sums decide the splits (`splits`).
So a tree sees the rows of all sites, and no site grows one by itself. A classifier without `bootstrap` is the same to
the bit, however the rows are divided among the sites; with it each site draws from its own rows.
"""

from __future__ import annotations

from base64 import b64decode

import numpy as np
from numpy.typing import NDArray

from ...agreement.asked import Field, MalformedQuestion, check_fields, is_text, is_whole
from ...agreement.order_asked import check_order
from ...agreement.order_statistics import count
from ...agreement.quantiles import quantiles
from ...agreement.questions import Answer, Answers, Question, Questions
from ...moments import IncompatibleSites
from ...own_questions import OwnRows, Sites
from .growing_forest import QUESTION_BYTES, Forest
from .growth import Growth
from .histograms import (
    BINS,
    MOMENTS,
    NODE,
    OPEN,
    Counted,
    Nodes,
    coded,
    counted,
    drawn_columns,
    drawn_rows,
    reached,
    summed,
)
from .trees import Trees, below

ASK, ORDER = "histograms", "order"
PARTS = (ASK, ORDER)
BITS = 8  # of the keys of values that are counted at a time
LEAST_BINS = 16
EDGES = 50_000  # of all columns together: they are in every question

_ORDER = {"ask": Field(f"'{ORDER}'", lambda found: found == ORDER)}
_FIELDS = {
    "ask": Field(f"'{ASK}'", lambda found: found == ASK),
    "seed": Field("a whole number", is_whole(-(2**63), 2**64 - 1)),
    "first": Field("a whole number", is_whole(0, 1 << 24)),
    "trees": Field("a number of trees", is_whole(1, 1 << 24)),
    "step": Field("a whole number", is_whole(0, 1 << 24)),
    "edges": Field("text", is_text),
    "nodes": Field("text", is_text),
    "most": Field("a whole number", is_whole(1, 2**53)),
}


def shared_questions(growth: Growth, trees: int, sites: Sites) -> Questions[Trees]:
    """Return the dialog at whose end there is a forest of so many trees. Raises IncompatibleSites."""
    bins = min(BINS, EDGES // growth.n_features)
    if bins < LEAST_BINS:
        raise IncompatibleSites(
            f"trees that all sites grow together see at most {EDGES // LEAST_BINS} columns; here are "
            f"{growth.n_features}: training.trees = 'own' has no such limit"
        )
    probabilities = [k / (bins - 1) for k in range(bins)]
    found = yield from quantiles(list(range(growth.n_features)), probabilities, "inverted_cdf", BITS)
    edges = [_edges(values) for values in found.values]
    # By the rows of all sites, so that nothing depends on how they are divided.
    rows, room = sum(sites.rows.values()), QUESTION_BYTES - 6 * growth.n_features * bins
    answer = 2 * rows * growth.wanted * (MOMENTS if growth.n_classes is None else 1)
    at_once = max(1, min(room // (3 * NODE.itemsize * _most_leaves(growth, rows)), sites.most_numbers // answer))
    grown = []
    for first in range(0, trees, at_once):
        forest = Forest(growth, min(at_once, trees - first), edges)
        step = 0
        while forest.open.size:
            head = {"seed": sites.seed, "first": first, "trees": forest.trees, "step": step}
            answers = yield {"ask": ASK, **head, **forest.told(), "most": sites.most_numbers}
            forest.take(_merged(answers, forest), (sites.seed, ASK, first, step))
            step += 1
        grown.append(forest.finished())
    return Trees.joined(grown)


def shared_answer(question: Question, rows: OwnRows, growth: Growth) -> Answer:
    """Return a site's answer to one of `shared_questions`. Raises MalformedQuestion."""
    if question["ask"] == ORDER:
        check_order(f"the question '{ORDER}'", question, lambda place: place in range(growth.n_features), _ORDER)
        return count(question, lambda place: np.ascontiguousarray(rows.X[:, int(place)], np.float64))
    check_fields(f"the question '{ASK}'", question, _FIELDS)
    trees, seed = int(question["trees"]), question["seed"]
    nodes, edges = _nodes(question["nodes"], trees, growth.n_features), _edges_in(question["edges"], growth.n_features)
    codes, n = coded(rows.X, edges), len(rows.y)
    often = np.ones((trees, n))
    if growth.bootstrap is not None:
        drawn, first = max(1, round(growth.bootstrap * n)), int(question["first"])
        often = np.stack([drawn_rows((seed, rows.site, ASK, first + k), n, drawn) for k in range(trees)])
    open_nodes = np.flatnonzero(nodes["feature"] == OPEN)
    places = np.full(len(nodes), -1)
    places[open_nodes] = np.arange(len(open_nodes))
    address = (seed, ASK, int(question["first"]), int(question["step"]), "columns")
    columns = drawn_columns(address, len(open_nodes), growth.n_features, growth.wanted)
    found = counted(reached(nodes, trees, codes), often, codes, rows.y, places, columns, growth.n_classes)
    if 2 * len(found.cells) > question["most"]:
        raise IncompatibleSites(
            f"the counts of this site are {2 * len(found.cells):,} numbers, and a message carries {question['most']:,} "
            "(network.max_message_bytes); give a smaller max_features"
        )
    return Answer({}, np.concatenate([found.cells.astype(np.float64), found.sums]))


def _most_leaves(growth: Growth, rows: int) -> int:
    """Return how many leaves a tree has at most; its nodes are twice as many, less one."""
    leaves = rows / max(1.0, growth.min_samples_leaf)
    return int(leaves if growth.max_depth is None else min(leaves, 2.0 ** min(growth.max_depth, 40)))


def _edges(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what lies midway between values that differ, as float32 has it: rising."""
    distinct = np.unique(values.astype(np.float32)).astype(np.float64)
    return np.unique(below((distinct[1:] + distinct[:-1]) / 2).astype(np.float32))


def _edges_in(text: str, n_features: int) -> list[NDArray[np.float32]]:
    raw = _decoded(text)
    sizes = np.frombuffer(raw[: 2 * n_features], "<u2").astype(np.int64)
    if len(sizes) != n_features or (sizes >= BINS).any() or len(raw) != 2 * n_features + 4 * sizes.sum():
        raise MalformedQuestion(f"the question '{ASK}' has no edges of {n_features} columns")
    flat, ends = np.frombuffer(raw[2 * n_features :], "<f4"), np.cumsum(sizes)
    rises = np.diff(flat) > 0
    rises[ends[(ends > 0) & (ends < len(flat))] - 1] = True  # from one column to the next
    if not (np.isfinite(flat).all() and rises.all()):
        raise MalformedQuestion(f"the question '{ASK}' has edges that do not rise")
    found = np.split(flat, ends[:-1])
    return list(found)


def _nodes(text: str, trees: int, n_features: int) -> Nodes:
    raw = _decoded(text)
    if len(raw) % NODE.itemsize or len(raw) < trees * NODE.itemsize:
        raise MalformedQuestion(f"the question '{ASK}' has no nodes of {trees} trees")
    nodes = np.frombuffer(raw, NODE)
    split = np.flatnonzero(nodes["feature"] < OPEN)
    left = nodes["left"][split]
    if (nodes["feature"][split] >= n_features).any() or (left <= split).any() or (left >= len(nodes) - 1).any():
        raise MalformedQuestion(f"the question '{ASK}' has nodes that are no trees over {n_features} columns")
    return nodes


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise MalformedQuestion(f"the question '{ASK}' has a text that is not base64: {error}") from error


def _merged(answers: Answers, forest: Forest) -> Counted:
    growth = forest.growth
    most = len(forest.open) * growth.wanted * BINS * growth.channels
    parts = []
    for site, answer in answers.items():
        cells, sums = np.split(answer.vector, 2) if len(answer.vector) % 2 == 0 else (np.array([-1.0]), np.zeros(1))
        whole = cells.astype(np.int64)
        rising = (np.diff(whole, prepend=-1) > 0).all() and (whole < most).all()
        if not rising or not np.array_equal(whole, cells) or not np.isfinite(sums).all():
            raise IncompatibleSites(f"site {site} has sent no counts of the open nodes", site)
        counts = sums if growth.n_classes is not None else sums[whole % MOMENTS == 0]
        if (counts < 0).any():
            raise IncompatibleSites(f"site {site} has counted fewer rows than none", site)
        parts.append(Counted(whole, sums))
    return summed(parts)
