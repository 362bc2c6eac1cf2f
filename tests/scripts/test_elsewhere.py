"""An option of another command is answered with whose it is."""

from __future__ import annotations

import click
import pytest
from nervenet.scripts import elsewhere
from nervenet.scripts.main import build, execute


def options_of(name: str) -> set[str]:
    app = build()
    command = app.get_command(click.Context(app), name)
    assert command is not None
    return {option for each in command.params if isinstance(each, click.Option) for option in each.opts}


def answered(option: str, capsys: pytest.CaptureFixture[str]) -> bool:
    assert execute(["simulate", option]) == 2
    return f"No such option '{option}': it is of nervenet launch; a simulation is" in capsys.readouterr().err


def test_every_option_that_launch_has_alone_is_answered_by_simulate(capsys: pytest.CaptureFixture[str]) -> None:
    alone = options_of("launch") - options_of("simulate")
    assert {"--processes", "--on", "--keys", "--resume", "--web"} <= alone
    assert [option for option in sorted(alone) if not answered(option, capsys)] == []


def test_without_knowing_the_other_commands_it_is_an_option_that_nobody_has(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "_having", lambda *_: [])
    assert not answered("--processes", capsys)


def test_a_command_in_a_group_is_named_as_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["topology", "--force-new", "--role"]) == 2
    assert "No such option '--force-new'" in capsys.readouterr().err
    assert execute(["topology", "--role"]) == 2
    assert "nervenet keys new" in capsys.readouterr().err
