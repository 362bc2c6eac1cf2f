"""Every page of documentation does what it says: all its blocks are run, as they are printed (see `pages`)."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nervenet.models.datasets import load

from .pages import (
    FEDERATION,
    NOT_RUN,
    Block,
    Command,
    Running,
    alike,
    blocks,
    differences,
    play,
    run_page,
    run_script,
    section,
    write_files,
)
from .test_extending import DISTRIBUTION, install

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
}
WITH_BLOCKS = {name: text for name, text in PAGES.items() if "```" in text}
RUN = ("console", "sh", "python", "toml")

# What is put in the place of what a page prints: the hub is this machine, and what make would do is printed.
INSTEAD = {
    "docs/describe.md": {"hub.example.org": "127.0.0.1"},
    "README.md": {"hub.example.org": "127.0.0.1", "make ": f"make --dry-run --directory={ROOT} "},
}


def install_extras(folder: Path) -> None:
    install(folder, DISTRIBUTION["entry-points"])


def write_flowers(folder: Path) -> None:
    iris = load("iris")
    lines = [",".join(map(str, [*row, kind])) for row, kind in zip(iris.X, iris.y, strict=True)]
    (folder / "flowers.csv").write_text("\n".join([",".join([*iris.columns, "species"]), *lines]))


def write_patients(folder: Path) -> None:
    for name, oldest in (("north", 60), ("south", 70), ("west", 80)):
        lines = [f"{age},{100 + age / 2},{'yes' if age % 3 else 'no'}" for age in range(20, oldest)]
        (folder / f"{name}.csv").write_text("\n".join(["age,pressure,smoker", *lines]))


# Sections whose commands another test runs, which looks at what becomes of them.
ELSEWHERE = {"docs/security.md": FEDERATION}

# What a page speaks of and no block of it makes.
PREPARED: dict[str, Callable[[Path], None]] = {
    "README.md": write_flowers,
    "docs/describe.md": write_patients,
    "docs/extending.md": install_extras,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, on the path of this process and of those that it starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.e2e
@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_every_block_of_the_page_runs_as_it_is_printed(
    name: str, folder: Path, three_free_ports: Callable[[], int]
) -> None:
    text = PAGES[name]
    for printed, instead in INSTEAD.get(name, {}).items():
        assert printed in text
        text = text.replace(printed, instead)
    if name in ELSEWHERE:
        elsewhere = section(text, ELSEWHERE[name])
        assert elsewhere
        text = text.replace(elsewhere, "")
    page = blocks(text)
    write_files(page, folder)
    PREPARED.get(name, lambda _: None)(folder)
    run_page(page, folder, three_free_ports, fresh=name == "README.md")


def of_unknown_language(text: str) -> list[str]:
    """Fences that open no block that is run, or that is known to be none."""
    opening = re.findall(r"^([ \t>]*(?:```|~~~)`*.*)\n", text, re.MULTILINE)[::2]
    return [fence for fence in opening if fence not in [f"```{language}" for language in (*RUN, *NOT_RUN)]]


@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_there_is_no_block_that_nobody_runs(name: str) -> None:
    assert of_unknown_language(PAGES[name]) == []


def test_all_pages_are_looked_at() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/gossip.md", "docs/extending.md"} <= set(PAGES)
    assert len(WITH_BLOCKS) >= 5


@pytest.mark.parametrize("fence", ["```", "```bash", "  ```sh", "~~~sh", "````sh", "```sh here"])
def test_a_block_that_nobody_runs_is_noticed(fence: str, folder: Path, three_free_ports: Callable[[], int]) -> None:
    text = f"```sh\ntrue\n```\n\n{fence}\ntrue\n{fence.partition('s')[0]}\n"
    assert of_unknown_language(text) == [fence]
    assert of_unknown_language("```sh\ntrue\n```\n\n```text\ntrue\n```\n") == []


def test_a_language_that_is_unknown_is_not_passed_over(folder: Path, three_free_ports: Callable[[], int]) -> None:
    with pytest.raises(AssertionError, match="nobody runs a block of language 'bash'"):
        run_page([Block("bash", "true\n")], folder, three_free_ports)


def test_a_line_that_is_missing_or_tells_another_figure_is_noticed() -> None:
    assert alike("accuracy 0.967 in 3.2 s", "accuracy 0.933  in 815 ms")
    assert alike("accuracy 0.967 in 1 min 04 s", "accuracy 0.933  in 815 ms")
    assert differences(["accuracy 0.967"], ["accuracy 0.733", "loss 0.967", "nodes lost  none"]) == ["accuracy 0.967"]
    assert differences(["nodes lost  none"], ["nodes lost  client-3"]) == ["nodes lost  none"]


@pytest.mark.e2e
def test_a_command_that_prints_something_else_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not printed:\nfive"):
        play("$ echo four\nfive\n", tmp_path)
    with pytest.raises(AssertionError, match="exit code 1"):
        play("$ false\n", tmp_path)
    with pytest.raises(AssertionError, match="exit code 0"):
        play("$ echo nervenet: no\nnervenet: no\n", tmp_path)
    ended = Running(Command("echo one", signal=signal.SIGKILL), tmp_path)
    ended.until_ended()  # else the signal may come before the command has left
    with pytest.raises(AssertionError, match="exit code 0"):
        ended.check_end()
    with pytest.raises(AssertionError, match=r"exit code 1: \$ false"):
        run_script("true\nfalse  # never\n", tmp_path)


@pytest.mark.e2e
def test_an_address_that_differs_is_used_in_what_follows(tmp_path: Path) -> None:
    play("$ echo at tcp://127.0.0.1:2\nat tcp://127.0.0.1:1\n$ echo tcp://127.0.0.1:1 > two\n", tmp_path)
    assert (tmp_path / "two").read_text() == "tcp://127.0.0.1:2\n"


def test_a_wrong_experiment_file_and_a_wrong_program_are_noticed(
    folder: Path, three_free_ports: Callable[[], int]
) -> None:
    with pytest.raises(ValueError, match="nods"):
        run_page(blocks("```toml\nnods = 3\n```\n"), folder, three_free_ports)
    with pytest.raises(AssertionError, match="not printed: \\['two'\\]"):
        run_page(blocks("```python\nprint('one')\n```\n\n```text\ntwo\n```\n"), folder, three_free_ports)
