#!/bin/sh
# networkx 3.6.1: kernighan_lin_bisection, which is given the two sets to begin with.
#
# Guess: it returns what became of the first set first, and of the second one second.
# Seen:  the other way round: of sets of 3 and 2 nodes between which nothing is to be exchanged the one of 2 comes first.
#        Nothing is said of an order. Whoever divides unequal parts further has to look at their sizes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet networkx==3.6.1
"$folder/venv/bin/python" -W error - <<'PYTHON'
import networkx as nx

graph = nx.Graph([(0, 1), (1, 2), (0, 2), (3, 4)])
first, second = nx.community.kernighan_lin_bisection(graph, partition=({0, 1, 2}, {3, 4}), seed=0)
print("networkx", nx.__version__, "given {0, 1, 2} and {3, 4}, returned", first, "and", second)
assert (first, second) == ({3, 4}, {0, 1, 2})
PYTHON
