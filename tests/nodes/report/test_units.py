"""Figures are written as people write them."""

import pytest
from nervenet.nodes.report.units import pace


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(12_401.7, "12,402"), (1240, "1,240"), (100, "100"), (24.93, "24.9"), (3.14159, "3.14"), (0.0312, "0.0312")],
)
def test_a_pace_has_no_exponent_where_rounds_are_quick(per_s: float, text: str) -> None:
    assert pace(per_s) == text
