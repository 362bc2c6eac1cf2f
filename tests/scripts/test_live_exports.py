"""Where a launch says that its figures go."""

from nervenet.scripts.live_exports import places_of


def test_each_export_says_where_it_writes() -> None:
    assert places_of([("tensorboard", ""), ("tensorboard", "mine")]) == [
        "export to tensorboard: tensorboard",
        "export to tensorboard: mine",
    ]
    assert places_of([]) == []
