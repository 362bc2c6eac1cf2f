"""The command ``nervenet``: dispatches to its commands, and turns whatever happens into an exit code.

0 done; 1 the run failed, the reason on the last line; 2 bad usage or configuration; 130 after Ctrl-C, 143 after
SIGTERM and 129 after SIGHUP, all after an orderly stop.
"""

from __future__ import annotations

import os
import sys
import time

# What is imported up here is imported before `main` can answer Ctrl-C; so little that nobody is that fast.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from click import Command, Context, Group, Parameter

STARTED_AT = time.time()

# In the order of the help. Each is a function of the module of its name, and the module is imported for that command.
COMMANDS = (
    "launch",
    "simulate",
    "broker",
    "node",
    "monitor",
    "replay",
    "compare",
    "serve",
    "predict",
    "export",
    "describe",
    "keys",
    "invite",
    "join",
    "audit",
    "doctor",
    "topology",
    "explain",
)

# Known by name, so that reporting an error imports none of the modules that could have raised it.
USAGE_ERRORS = {"ExperimentError", "DataError", "IncompatibleSites", "CannotMerge", "CannotExport"}
USAGE_ERRORS |= {"ModelFileError", "BadAddress", "TopologyError", "MissingExtra", "NameTaken", "KeysError"}
USAGE_ERRORS |= {"AuditError", "InvitationError"}
RUN_ERRORS = {"RunFailed", "NodeFailed", "ForkServerError", "BrokerError", "TooFewRows", "ChainsBroken", "Declined"}


# What a full disk, a folder of somebody else's and the like are answered by, wherever that may be: no mistake of ours.
REFUSALS = {"ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENFILE"}


def build() -> Group:
    import importlib

    import click

    from .whole_help import WholeHelp

    class InOrder(WholeHelp):
        """Lists its commands in the order of `COMMANDS`, and imports the module of the one that is asked for."""

        def list_commands(self, _ctx: Context) -> list[str]:
            return list(COMMANDS)

        def get_command(self, _ctx: Context, name: str) -> Command | None:
            if name not in COMMANDS:
                return None
            found: Command = getattr(importlib.import_module(f"{__package__}.{name}"), name)
            return found

        def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
            if not args[0].startswith("-") and args[0] not in COMMANDS:
                from nervenet.models.plugins import suggest

                ctx.fail(f"No such command {args[0]!r}{suggest(args[0], COMMANDS)}")
            return super().resolve_command(ctx, args)

    version = click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
    )
    return InOrder(
        "nervenet",
        params=[version],
        help="Federated and gossip learning for NumPy and scikit-learn, over ZeroMQ.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


def _version(context: Context, _option: Parameter, asked: bool) -> None:
    if asked:
        from nervenet import __version__

        print(f"nervenet {__version__}")
        context.exit()


def execute(arguments: Sequence[str], early: Mapping[str, Any] | None = None) -> int:
    """Run one command line and return its exit code; errors are a line or two on standard error.

    `early` are arguments of `launch` that were there before the command line was parsed.
    """
    return _execute(arguments, early) or _all_written()


def _all_written() -> int:
    """Return 0 where standard output has taken all there was; else 1, and the reason is on standard error."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return _unwritten(error)
    return 0


def _is_refusal(error: OSError) -> bool:
    from errno import errorcode

    return errorcode.get(error.errno or 0) in REFUSALS


def _unwritten(error: OSError) -> int:
    """Return the exit code where output was refused; without a word where its reader has gone."""
    from .standard_streams import give_up

    if isinstance(error, BrokenPipeError):
        give_up(sys.stdout)
        give_up(sys.stderr)
        return 1
    where = "" if error.filename is None else f"{error.filename}: "
    return _tell(f"{where}{error.strerror}", 1)


def _execute(arguments: Sequence[str], early: Mapping[str, Any] | None) -> int:
    try:
        app = build()
        if not arguments:
            sys.stderr.write(f"{app.make_context('nervenet', [], resilient_parsing=True).get_help()}\n")
            return 2
        with app.make_context("nervenet", list(arguments), obj=early) as context:
            app.invoke(context)
    except KeyboardInterrupt:
        return _tell("stopped by SIGINT", 130)
    except BrokenPipeError as error:
        return _unwritten(error)
    except Exception as error:  # noqa: BLE001  (the one place where any error becomes an exit code)
        return _explain(error)
    finally:
        if (logs := _logs()) is not None:
            logs.end()
    return 0


def _logs() -> Any:
    """Return the module of a command's log, unless that has none."""
    return sys.modules.get(f"{__package__}.logs")


def main() -> None:
    try:
        code = _main(sys.argv[1:])
    except KeyboardInterrupt:  # during the imports
        code = _tell("stopped by SIGINT", 130)
    sys.exit(code)


def _main(arguments: Sequence[str]) -> int:
    from nervenet.nodes.launching.rlimits import raise_soft_limits

    from .standard_streams import open_closed

    open_closed()  # before anything else takes their places
    raise_soft_limits()  # children inherit them
    fork_server = None
    if arguments[:1] == ["simulate"]:
        # As in the processes of a launch, and before numpy is imported: sums in several threads have other last digits.
        from nervenet.nodes.launching.forkserver_client import ONE_THREAD

        os.environ.update(ONE_THREAD)
    if arguments[:1] in (["launch"], ["describe"]) and not {"-h", "--help"} & set(arguments):
        # Before the launcher is imported: the process that nodes are forked from does its imports concurrently.
        from nervenet.nodes.launching.forkserver_client import ForkServerClient

        fork_server = ForkServerClient()
    return execute(arguments, {"started_at": STARTED_AT, "fork_server": fork_server})


def _explain(error: Exception) -> int:
    from nervenet.nodes.runtime.printable import printable, printable_lines

    kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith("nervenet.")}
    if "Stopped" in kinds:
        return _tell(str(error), 128 + int(getattr(error, "number", 0)))
    if kinds & USAGE_ERRORS:
        return _tell(_with_page(error, str(error)), 2)
    if kinds & RUN_ERRORS:
        return _tell(_with_page(error, printable(error)), 1)  # the reason on the last line
    if hasattr(error, "format_message"):
        return _usage(error)
    if type(error).__name__ == "Exit":  # click's, once --help or --version has printed its answer
        return int(getattr(error, "exit_code", 0))
    if isinstance(error, OSError) and _is_refusal(error):
        return _unwritten(error)
    if (logs := _logs()) is not None and logs.line("this is a mistake of nervenet", "critical", error):
        return 1
    import traceback

    sys.stderr.write(printable_lines("".join(traceback.format_exception(error))))
    return 1


def _with_page(error: Exception, message: str) -> str:
    """Return a message with where it is explained, unless it says so itself."""
    from nervenet.broker.errors import SEE, see

    code = getattr(error, "page", "")
    return message if not code or SEE in message else message + see(code)


def _usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # click's, of a group without a command: its message is the help
        sys.stderr.write(f"{error.format_message()}\n")
        return int(error.exit_code)
    message = error.format_message().rstrip(".")
    if type(error).__name__ == "NoSuchOption":  # click's
        from .elsewhere import elsewhere

        message = elsewhere(error, build()) or message
    stop = "" if message.endswith("?") else "."
    command = context.command_path if context is not None else "nervenet"
    return _tell(f"{message}{stop} See {command} --help", int(getattr(error, "exit_code", 2)))


def _tell(message: str, code: int) -> int:
    from nervenet.nodes.runtime.printable import printable_lines

    from .standard_streams import give_up

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            give_up(stream)
    if (logs := _logs()) is not None and logs.line(message, "error"):
        return code
    try:
        sys.stderr.write(f"nervenet: {printable_lines(message)}\n")
        sys.stderr.flush()
    except OSError:  # nobody is there to be told
        give_up(sys.stderr)
    return code


if __name__ == "__main__":
    main()
