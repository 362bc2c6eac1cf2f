"""``nervenet explain``: a key of the experiment file, or the code at the end of a message, in words."""

from __future__ import annotations

import click


@click.command()
@click.argument("key", metavar="KEY|CODE")
def explain(key: str) -> None:
    """Print what a key of the experiment file means, or a code at the end of a message.

    KEY is a key, as federated.quorum or quorum, or a table. CODE is what stands behind docs/errors.md#, or exit-1.
    """
    from nervenet.nodes.config.error_pages import BY_CODE
    from nervenet.nodes.config.reference import explain as found

    code = key.strip("()").removeprefix("docs/errors.md").removeprefix("#")
    entries = [BY_CODE[code]] if code in BY_CODE else found(key)
    for entry in entries:
        print(entry)
        if names := _names(getattr(entry, "key", "")):
            print(f"  names    {', '.join(names)}")


def _names(key: str) -> tuple[str, ...]:
    """Return what can be chosen under a key by its name, those of installed packages among them."""
    match key:
        case "federated.strategy":
            from nervenet.nodes.federated.strategies.registry import STRATEGIES

            return STRATEGIES.names
        case "gossip.algorithm":
            from nervenet.nodes.gossip.algorithms.registry import ALGORITHMS

            return ALGORITHMS.names
        case "gossip.topology":
            from nervenet.nodes.topology import TOPOLOGIES

            return TOPOLOGIES.names
    return ()
