"""A site's own file wins over whatever else says something of what the site takes part in."""

from pathlib import Path

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.experiment.loader import load_experiment

INVITED = '[site]\nunrecorded = true\n[site.allow]\nmax_rounds = 1000\nruns = ["*"]\n'


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_it_stands_in_place_of_what_the_experiment_says(tmp_path: Path) -> None:
    experiment = written(tmp_path, "experiment.toml", f"rounds = 7\n{INVITED}")
    site = written(tmp_path, "site.toml", "[site.allow]\nmax_rounds = 20\n")
    found = load_experiment(experiment, {}, site)
    assert found.rounds == 7
    assert found.site.allow.max_rounds == 20
    assert found.site.allow.runs is None
    assert not found.site.unrecorded
    assert load_experiment(experiment).site.allow.max_rounds == 1000


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        (
            "[site.allow]\nmax_round = 2\n",
            {},
            "no such key; did you mean site.allow.max_rounds",
        ),
        ("[site.allow]\nstatistics = ['moment']\n", {}, r"expected a list of moments, .* .did you mean moments"),
        ("rounds = 3\n[site.allow]\n", {}, "site.toml: rounds: a site's own file has the table"),
        ("", {}, r"has no table \[site\], so that it would limit nothing"),
        ("[site]\n", {"site.allow.max_rounds": 3}, r"--set site.allow.max_rounds: what holds at this site is said by"),
    ],
)
def test_a_file_that_would_not_limit_what_it_means_to_is_refused(
    tmp_path: Path, text: str, overrides: dict[str, object], words: str
) -> None:
    with pytest.raises(ExperimentError, match=words):
        load_experiment(None, overrides, written(tmp_path, "site.toml", text))
