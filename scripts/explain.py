"""``nervenet explain``: a key of the experiment file in words."""

from __future__ import annotations

import click


@click.command()
@click.argument("key", metavar="KEY")
def explain(key: str) -> None:
    """Print type, default and meaning of a key of the experiment file.

    KEY is a key, as federated.quorum or quorum, or a table.
    """
    from nervenet.nodes.config.reference import explain as found

    print("\n".join(map(str, found(key))))
