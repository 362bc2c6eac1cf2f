"""A group of commands whose help says the whole first sentence of each."""

from __future__ import annotations

import click

ENOUGH = 1000  # characters: no sentence is cut off, and the help wraps it


class WholeHelp(click.Group):
    """Lists its commands as click does, with first sentences that go on in the next line and do not end in dots."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(ENOUGH)) for name, each in found if each is not None])
