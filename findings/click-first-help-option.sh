#!/bin/sh
# click 8.5.1: a command in two groups, or looked at by a program (for a page of documentation, say) before it runs.
#
# Guess: which names its help option has follows from the context of each invocation, as the other settings of
#        `context_settings` do: `-h` in a group with `help_option_names=["-h", "--help"]`, `--help` alone in another.
# Seen:  the first invocation in the process decides for all: the option is made once and kept with the command (since
#        8.1.8). Run by the plain group before, `-h` in the other is "No such option '-h'" with exit status 2; so it is
#        after a `Context(command)` has told the help of the command, although the command itself says `-h`. In the other
#        order the plain group has `-h`. Tests of a program pass or fail by their order.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet click==8.5.1
"$folder/venv/bin/python" -W error - <<'PYTHON'
from importlib.metadata import version

import click
from click.testing import CliRunner

print("click", version("click"))
BOTH = {"help_option_names": ["-h", "--help"]}


def statuses(names):
    """Return the exit status of `run -h` in groups, one after the other, which share the command."""
    command = click.Command("run", callback=lambda: None)
    groups = {"plain": click.Group("plain", [command]), "short": click.Group("short", [command], context_settings=BOTH)}
    return [CliRunner().invoke(groups[name], ["run", "-h"]).exit_code for name in names]


assert statuses(["short"]) == [0] and statuses(["plain"]) == [2]
found = {"short, plain": statuses(["short", "plain"]), "plain, short": statuses(["plain", "short"])}
for order, each in found.items():
    print(f"run -h in the groups {order}: exit status {each}")

command = click.Command("run", callback=lambda: None, context_settings=BOTH)
page = command.get_help(click.Context(command))
found["looked at"] = CliRunner().invoke(command, ["-h"]).exit_code
print(f"-h once a program has asked for its help: exit status {found['looked at']}, help ends {page.splitlines()[-1]!r}")
if found == {"short, plain": [0, 2], "plain, short": [2, 0], "looked at": 0}:
    raise SystemExit("changed: each context has the help option that it names")
assert found == {"short, plain": [0, 0], "plain, short": [2, 2], "looked at": 2}
PYTHON
