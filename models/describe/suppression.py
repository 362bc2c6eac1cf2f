"""Which counts stay hidden, so that no small one can be read or computed from what is shown.

A table of counts has a row a site and a column a cell (a category, a bin); its margins are known: how many values each
site has, and how many all have together. A count from 1 to `floor` - 1 is never shown (primary suppression), nor are
as many others as it takes to keep it from being the difference of what is shown (complementary suppression). What is
hidden at the sites is a block: some sites by some cells, zeros within it included. All that a reader knows of a block
are its margins, and these bound each count by Fréchet's inequalities, which are sharp: so what a reader can conclude is
not estimated but known. A block is large enough when each small count in it could be any of more than `floor` numbers
in a row, the floor itself among them.

Hundepool et al. 2012, Statistical Disclosure Control, chapter 4.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


class Hidden(NamedTuple):
    """What is not shown: of all sites together, shape (cells,), and of each site, shape (sites, cells)."""

    pooled: Mask
    sites: Mask


def hidden_counts(counts: Counts, floor: int) -> Hidden:
    """Return which counts to hide, of a table of shape (sites, cells).

    The sums over cells of each site may be shown; so may those over sites wherever `pooled` is not hidden. A cell whose
    sum is hidden is hidden at every site.
    """
    together = hidden_sums(counts.sum(axis=0), floor)
    at_sites = np.broadcast_to(together, counts.shape).copy()
    # The cells with hidden sums count as one: that one's margins can be computed from the others'.
    open_cells = np.flatnonzero(~together)
    table = counts[:, open_cells]
    if together.any():
        table = np.column_stack([table, counts[:, together].sum(axis=1)])
    block = _block(table, floor)
    if block is None:
        return Hidden(np.ones(counts.shape[1], dtype=np.bool_), np.ones(counts.shape, dtype=np.bool_))
    rows, cells = block
    shown_cells = cells[: len(open_cells)]
    at_sites[np.ix_(rows, open_cells[shown_cells])] = True
    return Hidden(together, at_sites)


def hidden_sums(sums: Counts, floor: int) -> Mask:
    """Return which of some counts to hide, shape (cells,), where their sum is known.

    Those below the floor, and of the others the smallest, until what is hidden adds up to twice the floor and is of at
    least two cells.
    """
    hidden: Mask = (sums > 0) & (sums < floor)
    if not hidden.any():
        return hidden
    for cell in np.argsort(sums, kind="stable"):
        if hidden.sum() >= 2 and sums[hidden].sum() >= 2 * floor:
            break
        hidden[cell] |= sums[cell] > 0
    return hidden


def _block(table: Counts, floor: int) -> tuple[Mask, Mask] | None:
    """Return sites and cells of the block to hide, as masks; None where none would do."""
    small: Mask = (table > 0) & (table < floor)
    rows: Mask = np.asarray(small.any(axis=1))
    cells: Mask = np.asarray(small.any(axis=0))
    while _exposed(table, small, rows, cells, floor):
        best: tuple[int, int, int, int] | None = None
        for axis, chosen in enumerate((rows, cells)):
            for place in np.flatnonzero(~chosen):
                chosen[place] = True
                left = _exposed(table, small, rows, cells, floor)
                hidden = int(table[np.ix_(rows, cells)].sum())
                chosen[place] = False
                best = min(best or (left, hidden, axis, int(place)), (left, hidden, axis, int(place)))
        if best is None:
            return None
        # One more site or cell may not help yet, where it takes two: then the smallest is taken.
        (rows, cells)[best[2]][best[3]] = True
    return rows, cells


def _exposed(table: Counts, small: Mask, rows: Mask, cells: Mask, floor: int) -> int:
    """Return of how many small counts a reader of the block's margins would know too much."""
    block, at_stake = table[np.ix_(rows, cells)], small[np.ix_(rows, cells)]
    if not at_stake.any():
        return 0
    of_rows, of_cells = block.sum(axis=1)[:, None], block.sum(axis=0)[None, :]
    least = np.maximum(0, of_rows + of_cells - block.sum())
    most = np.minimum(of_rows, of_cells)
    return int((at_stake & ((most < floor) | (most - least < floor))).sum())
