"""What the pages quote is what the code prints, and every code has its entry: docs/operations.md, docs/errors.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from nervenet.broker import errors, versions
from nervenet.broker.errors import SEE, BrokerError, see
from nervenet.nodes.config.error_pages import BY_CODE, ENTRIES, markdown
from nervenet.nodes.joining.invitation import InvitationError
from nervenet.nodes.monitoring.notices import notice
from nervenet.scripts.main import _explain, execute

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
LEAST = 13  # letters of a template that are the same in every message: fewer prove nothing
WORDS = 3  # and so many words


def sources() -> Iterator[str]:
    for room in ("broker", "nodes", "scripts"):
        for path in (ROOT / room).rglob("*.py"):
            if path.name != "error_pages.py":  # which quotes lines itself
                yield path.read_text(encoding="utf-8")


@cache
def templates() -> tuple[re.Pattern[str], ...]:
    """Every text of the code that is long enough, with whatever it is filled with."""
    found = set[str]()
    for source in sources():
        nodes = list(ast.walk(ast.parse(source)))
        inner = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            if id(node) in inner:  # no text by itself
                continue
            parts = node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []
            texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            if any(isinstance(text, bytes | int | float) or text is Ellipsis for text in texts):
                continue
            fixed = "".join(text or "" for text in texts).strip()
            if len(fixed) >= LEAST and len(fixed.split()) >= WORDS and "\n" not in fixed and SEE not in fixed:
                texts = [re.escape(text) if text else ".*?" for text in texts]
                found.add("".join(texts))
    return tuple(re.compile(template) for template in found)


def printed(line: str) -> bool:
    """Whether a template of the code occurs in a line that is said to be printed."""
    said = line.partition(f" {SEE}")[0]
    return said in PROVOKED or any(template.search(said) for template in templates())


def quoted(page: str) -> list[str]:
    return [line for block in re.findall(r"```text\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]


PROVOKED = {
    str(notice({"type": "node.lost", "subject": "client-3", "reason": "killed by SIGKILL"})).partition(f" {SEE}")[0]
}


LINES = quoted(OPERATIONS) + [entry.seen for entry in ENTRIES if entry.seen]


def test_every_line_that_is_quoted_is_one_of_the_code() -> None:
    assert len(LINES) > 40
    assert [line for line in LINES if not printed(line)] == []


def test_a_line_that_nobody_prints_is_noticed() -> None:
    assert not printed("nervenet: every broker had enough and went home (docs/errors.md#broker-away)")
    assert not printed("client-3 is lost in thought")


def used() -> set[str]:
    """The codes that the code prints."""
    text = "\n".join(sources())
    codes = set(re.findall(r"""\bsee\(["']([\w-]+)["']\)""", text))
    codes |= set(re.findall(r"""\bsee\("([\w-]+)" if .*? else "[\w-]+"\)""", text))
    codes |= set(re.findall(r"""\bsee\("[\w-]+" if .*? else "([\w-]+)"\)""", text))
    codes |= set(re.findall(r'^    page = "([\w-]+)"', text, re.MULTILINE))
    codes |= {kind.page for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BrokerError)}
    return (codes | set(errors._PAGES.values())) - {""}


def test_every_code_that_is_printed_has_an_entry_and_no_other_has() -> None:
    of_exits = {code for code in BY_CODE if code.startswith("exit-")} - used()
    assert used() | of_exits == set(BY_CODE)
    assert of_exits == {"exit-0", "exit-1", "exit-2", "exit-130"}
    assert len(BY_CODE) == len(ENTRIES)


def test_the_page_is_what_the_entries_say_and_has_their_anchors() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert page == markdown(), "python -m nervenet.nodes.config.error_pages > docs/errors.md"
    assert re.findall(r"^## ([\w-]+)$", page, re.MULTILINE) == list(BY_CODE)
    for target in re.findall(r"\(#([\w-]+)\)", page) + re.findall(r"errors\.md#([a-z-]+)\)", OPERATIONS):
        assert target in BY_CODE


def test_every_quoted_message_of_operations_ends_with_its_own_code() -> None:
    for entry in ENTRIES:
        if entry.seen and not entry.code.startswith("exit-"):
            assert any(line.endswith(see(entry.code).strip()) for line in LINES if SEE in line) or (
                entry.code in ("keys-unusable", "not-encrypted", "invitation-unusable")
            ), entry.code


@pytest.mark.parametrize(
    ("error", "code", "number"),
    [
        (errors.AddressInUse("tcp://h:1"), "address-in-use", 1),
        (errors.NameTaken("taken"), "name-taken", 2),
        (errors.JoinRefused("config", "run 'x' was opened with nodes=3; west brings 4"), "configuration-differs", 1),
        (errors.BrokerUnreachable("tcp://h:1", 3.0), "broker-unreachable", 1),
        (errors.RosterIncomplete("1 of 2"), "too-few-nodes", 1),
        (errors.KeysError("keys: is no key\nkeys: nor this"), "keys-unusable", 2),
        (errors.NotEncrypted("tcp://h:1"), "not-encrypted", 2),
        (InvitationError("is no file"), "invitation-unusable", 2),
    ],
)
def test_the_last_line_of_a_command_ends_with_where_it_is_explained(
    error: Exception, code: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _explain(error) == number
    assert capsys.readouterr().err.splitlines()[-1].endswith(f" (docs/errors.md#{code})")


def test_a_message_names_one_place_alone(capsys: pytest.CaptureFixture[str]) -> None:
    _explain(errors.BrokerUnreachable("tcp://h:1", 3.0, refused=f"refuses the key{see('key-refused')}"))
    assert capsys.readouterr().err.count(SEE) == 1
    _explain(errors.PeerUnreachable("p", "nothing"))  # has no entry
    assert SEE not in capsys.readouterr().err


def test_a_code_is_explained_offline(capsys: pytest.CaptureFixture[str]) -> None:
    for way in ("key-refused", "#key-refused", "docs/errors.md#key-refused", "(docs/errors.md#key-refused)"):
        assert execute(["explain", way]) == 0
        out = capsys.readouterr().out
        assert out.startswith("key-refused: The other side does not allow this node's key\n  seen ")
        assert "\n  to do    Send NAME.pub" in out
    assert execute(["explain", "federated.quorum"]) == 0
    assert execute(["explain", "no-such-thing"]) == 2


def test_what_is_said_of_versions_in_the_pages_is_what_versions_say() -> None:
    said = versions.mismatch("north", versions.Spoken(2, 2, "0.9.0"), "hub", versions.Spoken(1, 1, "0.1.0"))
    assert f"nervenet: {said}{see('version-mismatch')}" in OPERATIONS
