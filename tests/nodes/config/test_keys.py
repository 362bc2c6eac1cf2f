"""What ``--set`` takes."""

import pytest
from nervenet.nodes.config.keys import ExperimentError, parse_set


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a.b=3", ("a.b", 3)),
        ("a=0.5", ("a", 0.5)),
        ("a=[1, 2]", ("a", [1, 2])),
        ("a=true", ("a", True)),
        ("a=ring", ("a", "ring")),
        ('a="3"', ("a", "3")),
        ("a=x=y", ("a", "x=y")),
        ("a=1\nb=2", ("a", "1\nb=2")),
    ],
)
def test_set_reads_toml_values_and_plain_words(text: str, pair: tuple[str, object]) -> None:
    assert parse_set(text) == pair


@pytest.mark.parametrize("text", ["a", "=1", "a..b=1", ""])
def test_set_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(ExperimentError, match="expected KEY=VALUE"):
        parse_set(text)
