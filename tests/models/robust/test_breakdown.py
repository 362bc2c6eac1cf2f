"""How many Byzantine vectors a rule tolerates, and how it refuses more."""

import numpy as np
import pytest
from nervenet.models import robust
from nervenet.models.robust import DEMANDS, RobustnessError, check, max_byzantine

CALLS = {
    "trimmed mean": robust.trimmed_mean,
    "krum": robust.krum,
    "multi-krum": lambda vectors, f: robust.multi_krum(vectors, f, 1),
    "bulyan": robust.bulyan,
}


@pytest.mark.parametrize(
    ("rule", "n", "f"),
    [("trimmed mean", 4, 2), ("krum", 6, 2), ("krum", 2, 0), ("multi-krum", 6, 2), ("bulyan", 10, 2), ("bulyan", 2, 0)],
)
def test_one_vector_too_few_is_refused_and_one_more_is_enough(rule, n, f):
    vectors = [np.full(3, float(i)) for i in range(n + 1)]
    with pytest.raises(RobustnessError, match=rf"{rule} cannot tolerate f = {f} .* n = {n}: .*n >= {n + 1}") as refused:
        CALLS[rule](vectors[:n], f)
    assert (refused.value.rule, refused.value.n, refused.value.f) == (rule, n, f)
    assert CALLS[rule](vectors, f).shape == (3,)


def test_the_refusal_says_what_is_allowed_for_this_n():
    with pytest.raises(RobustnessError, match="at most f = 3 for n = 10"):
        robust.krum([np.zeros(2)] * 10, 4)
    with pytest.raises(RobustnessError, match="too few for any f"):
        robust.bulyan([np.zeros(2)] * 2, 0)
    with pytest.raises(RobustnessError, match="cannot be negative"):
        robust.trimmed_mean([np.zeros(2)] * 5, -1)


@pytest.mark.parametrize("m", [0, 5])
def test_multi_krum_averages_no_more_than_can_be_honest(m):
    with pytest.raises(RobustnessError, match=f"m = {m} is not in 1 to n - f = 4"):
        robust.multi_krum([np.zeros(2)] * 5, 1, m)


@pytest.mark.parametrize("rule", DEMANDS)
def test_the_largest_f_is_allowed_and_the_next_is_not(rule):
    for n in range(1, 30):
        most = max_byzantine(rule, n)
        if most >= 0:
            check(rule, n, most)
        with pytest.raises(RobustnessError):
            check(rule, n, most + 1)
