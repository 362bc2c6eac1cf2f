"""What is said of an option that a command does not have, but another one has."""

from __future__ import annotations

from collections.abc import Iterator

import click

SIBLINGS = {
    "simulate": ("launch", "a simulation is one process, with no connections and no pages, and is not resumed"),
}
"""Commands whose options are a part of another's: which one it is, and why the others are not theirs."""


def elsewhere(error: click.NoSuchOption, app: click.Group) -> str | None:
    """Return a message that says whose option it is, None where no command has one of that name."""
    option = error.option_name
    having = dict(_having(option, app, click.Context(app, info_name="nervenet")))
    if not having:
        return None
    here = error.ctx.info_name if error.ctx is not None else None
    sibling, why = SIBLINGS.get(here or "", ("", ""))
    if sibling in having:
        return f"No such option {option!r}: it is of {having[sibling]}; {why}"
    *others, last = having.values()
    commands = f"{', '.join(others)} and {last} have" if others else f"{last} has"
    near = "".join(f"; did you mean {each!r}?" for each in (error.possibilities or ())[:1] if each.startswith(option))
    return f"No such option {option!r}: {commands} it{near}"


def _having(option: str, group: click.Group, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield the commands that have an option, by name, with what one types to call them."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        own = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _having(option, command, own)
        elif any(option in parameter.opts for parameter in command.params if isinstance(parameter, click.Option)):
            yield name, own.command_path
