"""``nervenet explain``: a key of the experiment file in words."""

from __future__ import annotations

from typing import Annotated

import typer


def explain(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key, as federated.quorum or quorum, or a table.")],
) -> None:
    """Print type, default and meaning of a key of the experiment file."""
    from nervenet.nodes.config.reference import explain as found

    print("\n".join(map(str, found(key))))
