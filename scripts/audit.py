"""``nervenet audit``: what a site was asked, and what it sent, as its own log has it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from .whole_help import WholeHelp

_place = click.argument("place", metavar="[FILE|DIR]", required=False, type=click.Path(path_type=Path))


@click.group(cls=WholeHelp, invoke_without_command=False)
def audit() -> None:
    """Look at audit logs, and verify them.

    FILE is a log, DIR a folder of logs or a run folder. [default: where nodes without a run folder keep theirs]
    """


@audit.command()
@_place
@click.option("--head", metavar="HASH", help="A head that was noted before: a record must have it.")
def verify(place: Path | None, head: str | None) -> None:
    """Verify that nothing was changed, removed or reordered.

    Exit code 1 where a chain is not as it was written, with the line and what differs. That nothing is missing at the
    end can only be told by a head that was noted elsewhere.
    """
    from nervenet.nodes.audit.verify import verify as verified
    from nervenet.nodes.runtime.printable import printable

    found, problems = verified(_at(place), head)
    for chain in found:
        print(printable(chain))
    _check(problems)


@audit.command()
@_place
def head(place: Path | None) -> None:
    """Verify each chain, and print its head, to be noted elsewhere."""
    from nervenet.nodes.audit.verify import verify as verified
    from nervenet.nodes.runtime.printable import printable

    found, problems = verified(_at(place))
    for chain in found:
        print(printable(f"{chain.head.hash}  {chain.head.n}  {chain.path}"))
    _check(problems)


@audit.command()
@_place
@click.option("--last", metavar="N", type=click.IntRange(1), help="The last N records of each chain.")
@click.option("--json", is_flag=True, help="The records as JSON lines.")
def show(place: Path | None, last: int | None, json: bool) -> None:
    """Show the records as a table, and the heads; it is not verified."""
    from json import dumps

    from nervenet.nodes.audit.chain import records
    from nervenet.nodes.audit.log import chains
    from nervenet.nodes.audit.show import COLUMNS, row
    from nervenet.nodes.audit.verify import read
    from nervenet.nodes.runtime.printable import printable

    for path, files in chains(_at(place)).items():
        found = records(map(read, files))
        shown = found if last is None else found[-last:]
        if json:
            for record in shown:
                print(dumps(record))
            continue
        rows = [COLUMNS, *map(row, shown)]
        widths = [max(len(cells[place]) for cells in rows) for place in range(len(COLUMNS))]
        print(printable(path))
        for cells in rows:
            line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True) if width)
            print(printable(line.rstrip()))
        if found:
            print(f"head {found[-1]['hash']}")


def _check(problems: Sequence[str]) -> None:
    """Report what is wrong with the chains, a line for each. Raises ChainsBroken with the last."""
    from nervenet.broker.errors import see
    from nervenet.nodes.audit.verify import ChainsBroken

    from .output import warn

    if not problems:
        return
    *before, last = (problem + see("audit-broken") for problem in problems)
    for line in before:
        warn(line, "nervenet")
    raise ChainsBroken(last)


def _at(place: Path | None) -> Path:
    from nervenet.nodes.audit.place import state_folder

    return state_folder() if place is None else place
