"""What ``nervenet join`` shows of an invitation: who invites to what, what would leave the site, and its keys."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nervenet import __version__
from nervenet.nodes.runtime.printable import listed

if TYPE_CHECKING:
    from nervenet.broker.security.keys import KeyPair
    from nervenet.nodes.joining.disclosure import Disclosure
    from nervenet.nodes.joining.invitation import Invitation
    from nervenet.nodes.joining.site_keys import KeyPlan
    from nervenet.nodes.joining.site_rows import SiteRows

WIDTH = 110
MOST_COLUMNS = 40  # that are named
_INDENT = 17


def about(file: Path, invitation: Invitation, shown: Disclosure | None) -> Iterator[str]:
    """Yield who invites to what; of a run, if it is `shown` what that is, and not only how it is watched."""
    yield f"{file} invites {invitation.name} to the run {invitation.run}, as a {invitation.role}"
    yield from _row("by", f"{invitation.hub}, whose broker is {invitation.broker}")
    if shown is not None:
        yield from _row("the run", shown.plan)
    yield from _row("fingerprint", f"{invitation.fingerprint}  (of the invitation: {invitation.hub} has the same)")
    if invitation.nervenet != __version__:
        yield from _row("written by", f"nervenet {invitation.nervenet}; this is {__version__}")
    for line in shown.code if shown is not None else ():
        yield from _row("code", f"{line} is code of its own, which this machine must have, and runs")
    yield ""


def leaving(shown: Disclosure, rows: SiteRows | None) -> Iterator[str]:
    """Yield what leaves the site; of `rows`, if known, those that this concerns."""
    yield "What leaves this site, encrypted"
    if rows is not None:
        yield from _row("of", _file_text(rows))
    for each in shown.leaves:
        yield from _row(each.when, f"to {each.to}: {each.what}")
    yield from _row("stays here", "; ".join(shown.stays))
    yield "Weights and statistics tell something about the rows behind them (docs/security.md, docs/tables.md)."
    yield ""


def watching() -> Iterator[str]:
    """Yield what a monitor sees, and what is seen of it."""
    yield "A monitor sees names, addresses and figures of the run; nothing leaves this machine but its name and key."
    yield ""


def of_policy(shown: Disclosure) -> Iterator[str]:
    yield "What this site takes part in"
    for line in shown.policy:
        yield from _row("", line)
    for line in shown.declined:
        yield from _row("declined", line)
    yield ""


def of_keys(plan: KeyPlan) -> Iterator[str]:
    from nervenet.broker.security.keys import fingerprint

    yield f"Keys in {plan.folder}/"
    own = (
        f"is there: {plan.secret_file}" if plan.own is not None else f"will be made: {plan.secret_file}, for you alone"
    )
    yield from _row(f"{plan.name}, own", own)
    for word, entries in (("will be allowed", plan.new), ("is allowed", plan.known)):
        for entry in entries:
            roles = " and ".join(sorted(entry.roles))
            yield from _row(entry.name, f"{word} as {roles}")
            yield from _row("", f"fingerprint {fingerprint(entry.public)}")
    for entry in plan.others:
        yield from _row(entry.name, "is allowed, and not in the invitation; if it is no longer of the federation:")
        yield _command(f"nervenet keys revoke {entry.name} --keys {shlex.quote(str(plan.folder))}")
    yield ""


def what_next(plan: KeyPlan, made: KeyPair, invitation: Invitation) -> Iterator[str]:
    """Yield what is said when the keys are written: how the hub's owner lets this site in."""
    from nervenet.broker.security.keys import fingerprint

    word = "key" if plan.own is not None else "made"
    yield from _row(word, f"{plan.secret_file}  (secret: it stays here)")
    for entry in plan.new:
        yield from _row("allowed", f"{entry.name}, as {' and '.join(sorted(entry.roles))}")
    yield from _row("send", f"{plan.public_file} to {invitation.hub}, who admits it by")
    yield _command(invitation.admission)
    yield from _row("compare", f"by telephone, its fingerprint {fingerprint(made.public)}")
    words = ["--broker", invitation.broker, "--run", invitation.run, "--keys", str(plan.folder)]
    if invitation.role == "monitor":
        yield from _row("to watch", "once it is admitted")
        yield _command(f"nervenet monitor {shlex.join(words)}")
        return
    words += ["--mode", "gossip"] if invitation.role == "peer" else []
    yield from _row("if it waits", "what is in the way is found by")
    yield _command(f"nervenet doctor {shlex.join(words)}")
    others = invitation.of_role("peer")
    if invitation.role == "peer" and len(others) < (wanted := int(invitation.experiment["nodes"]) - 1):
        missing = f"the keys of {wanted - len(others)} of {wanted} other peers are not in this invitation yet"
        yield from _row("missing", f"{missing}: join again with the next one")


def as_json(plan: KeyPlan, made: KeyPair, invitation: Invitation) -> str:
    import json

    from nervenet.broker.security.keys import fingerprint

    told = {"name": invitation.name, "role": invitation.role, "run": invitation.run, "broker": invitation.broker}
    own = {"keys": str(plan.folder), "public_file": str(plan.public_file), "public": made.public}
    said = {"fingerprint": fingerprint(made.public), "admission": invitation.admission}
    return json.dumps({**told, **own, **said, "allowed": [entry.name for entry in plan.new]})


def _file_text(rows: SiteRows) -> str:
    if not rows.columns:
        return f"{rows.file}, which is too large to be read twice: all its columns but those that are dropped"
    kept = f", of which a share of {rows.test_size:g} is kept from training" if rows.test_size else ""
    target = f"; the target is {rows.target!r}" if rows.target else ""
    return f"{rows.file}: {rows.rows:,} rows{kept}; the columns {listed(rows.columns, MOST_COLUMNS)}{target}"


def _command(line: str) -> str:
    """Return a command in one piece, however long, to be copied."""
    return f"{'':<{_INDENT}} {line}"


def _row(label: str, text: str) -> list[str]:
    first, *rest = textwrap.wrap(text, WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False) or [""]
    label = f"  {label}"
    head = f"{label:<{_INDENT}} {first}" if len(label) <= _INDENT else f"{label}  {first}"
    return [head, *(f"{'':<{_INDENT}} {line}" for line in rest)]
