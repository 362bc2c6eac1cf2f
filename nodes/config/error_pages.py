"""What a user may meet, each under a code that stands at the end of its message: what is seen, why, what to do.

``nervenet explain CODE`` prints an entry; ``python -m nervenet.nodes.config.error_pages`` prints docs/errors.md.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

HEAD = """# Errors and exit codes

A message that stands here ends in `(docs/errors.md#CODE)`; `nervenet explain CODE` prints its entry without this page.
By symptom, and for what to do with a whole federation: [operations.md](operations.md). Before a run: `nervenet doctor`.

| exit code | when |
|---|---|
| [0](#exit-0) | done |
| [1](#exit-1) | the run failed, or `nervenet doctor` found a problem |
| [2](#exit-2) | bad usage or configuration |
| [71](#exit-71) | a node's process was refused files, memory, processes or disk space |
| [129, 130, 143](#exit-130) | stopped by a signal |
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One code in words; `seen` is a line as it is printed, empty where nothing is."""

    code: str
    title: str
    seen: str
    why: str
    remedy: str

    def __str__(self) -> str:
        seen = f"\n  seen     {self.seen}" if self.seen else ""
        return f"{self.code}: {self.title}{seen}\n  why      {self.why}\n  to do    {self.remedy}"

    def markdown(self) -> str:
        seen = f"```text\n{self.seen}\n```\n\n" if self.seen else ""
        why, remedy = (
            textwrap.fill(text, 120, break_long_words=False) for text in (self.why, f"**To do:** {self.remedy}")
        )
        return f"## {self.code}\n\n{self.title}.\n\n{seen}{why}\n\n{remedy}\n"


ENTRIES = (
    Entry(
        "exit-0",
        "Done",
        "",
        "The run came to its end, or the command did what it was asked for.",
        "Nothing. `nodes_lost` and `undisturbed` in summary.json say whether all went smoothly.",
    ),
    Entry(
        "exit-1",
        "The run failed",
        "",
        "The reason is on the last line, and in `reason` of summary.json. `nervenet doctor` exits so where it "
        "found a problem.",
        "Look up the code at the end of that line. A run with checkpoints goes on by `--resume RUN`.",
    ),
    Entry(
        "exit-2",
        "Bad usage or configuration",
        "",
        "An option, a key of the experiment file, a file or a key pair is not what is allowed: the message names "
        "both. Nothing was started.",
        "Correct it; `nervenet explain KEY` says what a key of the experiment file may be.",
    ),
    Entry(
        "exit-71",
        "A node's process ran out of what the machine allows",
        "launcher: ended for want of open files, memory, processes or disk space here; nodes.log says of which",
        "The process could not even report it. nodes.log in the run folder has the system's own words.",
        "Raise the limit (`ulimit -n`, `ulimit -u`, `pids.max` or `memory.max` of the container), free disk "
        "space, or have fewer nodes.",
    ),
    Entry(
        "exit-130",
        "Stopped by a signal, after an orderly stop",
        "nervenet: stopped by SIGINT",
        "130 is Ctrl-C, 143 SIGTERM, 129 a closed terminal. No process is left, and the run folder is readable.",
        "`--resume RUN` goes on after the last checkpoint.",
    ),
    Entry(
        "address-in-use",
        "Somebody else has the port",
        "nervenet: tcp://127.0.0.1:5555 is in use by another program; choose another port, or port 0 for a free one",
        "A broker takes three ports, one after another; one of them is bound by another process, perhaps an "
        "earlier broker.",
        "`ss -ltnp` shows whose it is. End that one, or choose another port by `--bind`, and the same in every "
        "`--broker`.",
    ),
    Entry(
        "audit-broken",
        "An audit log is not as it was written",
        "audit/north.jsonl: line 12: removed: record 12 is missing before record 13",
        "Somebody has changed, removed or reordered lines, or the file was cut off. With `--head`: no record has that "
        "hash, so that the end is missing, or the whole was written anew.",
        "Compare it with a copy, and its hashes with the log of the other side (`nervenet audit show --json`). Move it "
        "away before the node is started again.",
    ),
    Entry(
        "audit-unusable",
        "The audit log of a node cannot be used",
        "nervenet: north.jsonl: the audit log cannot be opened: Permission denied (site.audit_dir says where it is, "
        "site.audit = false keeps none)",
        "Its folder cannot be written, the disk is full, the file is somebody else's, or its last line was changed. A "
        "site sends nothing unrecorded.",
        "Free disk space, or choose a folder by `site.audit_dir`. `site.unrecorded = true` goes on without records, "
        "`site.audit = false` keeps no log. `nervenet audit verify FILE` tells whether it was changed.",
    ),
    Entry(
        "broker-away",
        "The broker has stopped answering",
        "client-1: the broker at tcp://hub:5555 does not answer; the run goes on without it",
        "It has ended, or the way to it is cut. Nodes that have met go on; events are lost meanwhile, nobody new "
        "can join, and a run that has not begun yet waits.",
        "Start it again at the same address: nodes rejoin by themselves, and monitors catch up. `nervenet "
        "launch` does so by itself.",
    ),
    Entry(
        "broker-unreachable",
        "No broker answers",
        "nervenet: no broker answered at tcp://hub:5555 within 30 s (network.join_deadline_s)",
        "It does not run, runs elsewhere, or something on the way drops what is sent there.",
        "`nervenet doctor --broker ADDRESS` tells which of these it is.",
    ),
    Entry(
        "configuration-differs",
        "The node's configuration is not the run's",
        "nervenet: run 'pines' was opened with other terms than west brings: nodes=4; who opened it has the experiment",
        "Mode, number of nodes, seed, scaling and model must be the same at all nodes; who joins first decides.",
        "Give those keys the values of the others at this node, or start the others again with this one's.",
    ),
    Entry(
        "coordinator-lost",
        "A client has given its coordinator up",
        "nervenet: coordinator has been silent for 120 s; network.rejoin_deadline_s is 120 s",
        "The coordinator has died and was not started again in time, or the way to it is cut.",
        "Start it again, `nervenet node coordinator … --resume FOLDER`, within `network.rejoin_deadline_s`: "
        "clients wait so long, and go on. Clients that have ended are started again, too.",
    ),
    Entry(
        "encryption-differs",
        "One side has keys, and the other has none",
        "the broker at tcp://hub:5555 does not encrypt: it was started without keys",
        "A node with `--keys` talks to no node without; nothing is ever sent in plain text instead.",
        "Give `--keys DIR` to both, or to neither on one machine.",
    ),
    Entry(
        "key-refused",
        "The other side does not allow this node's key",
        "the broker at tcp://hub:5555 refuses the key of north: who runs that one lets it in by nervenet keys "
        "allow north.pub --role ROLE",
        "The key is not in the other side's folder, has another role there, or was revoked. The other side has "
        "an event `connection.refused` with the key.",
        "Send NAME.pub to who runs the other side, who allows it; no restart is needed, the node gets in within "
        "seconds.",
    ),
    Entry(
        "keys-unusable",
        "A key, or a folder of keys, cannot be used",
        "nervenet: keys/north.key: others than its owner can use it (mode 644); expected 600: chmod 600 keys/north.key",
        "A file is missing, is no key, belongs to another user, or can be read or written by others; two entries "
        "have one name or one key. A key that cannot be used never means that none is needed.",
        "Do what the message says; `nervenet keys list` shows what is wrong with a folder.",
    ),
    Entry(
        "invitation-unusable",
        "An invitation cannot be used, or made",
        "nervenet: north.invite.toml: was changed after it was written (fingerprint 051d 4252 2d22 23f8 3a8c bd19 18b7 "
        "e442, its content has eaad 266e 6166 9a98 dcde c743 c340 895f); ask hub to send it again",
        "The file is missing, no invitation, of another version's format, was changed on its way or by hand, or says "
        "what no invitation says; or nobody sits at the terminal who could be asked. Nothing was written.",
        "Have the hub run `nervenet invite` again, and compare the fingerprint of the file by telephone. Scripts say "
        "`--yes`.",
    ),
    Entry(
        "name-taken",
        "Another node has the name, and answers",
        "nervenet: the name north is taken in run 'flowers' by a node that answers (pid 4711 at "
        "tcp://10.0.0.7:41000, joined 12 s ago): choose another --name, or end that node by --replace",
        "Two nodes of one run have one name, or an earlier process of this one still lives.",
        "Choose another `--name`. `--replace` takes the name, and ends the other one.",
    ),
    Entry(
        "no-checkpoint",
        "There is nothing to resume",
        "nervenet: --resume runs/first: holds no checkpoint: its first round was never complete; launch it again",
        "The run ended before its first round was saved, or no state in `checkpoints/` is whole.",
        "Start it anew, or copy `checkpoints/` back from a backup.",
    ),
    Entry(
        "node-lost",
        "A node is given up",
        "client-3 is lost: killed by SIGKILL",
        "Its process has ended, or nothing was heard of it for long. The run goes on with the others, if they "
        "are enough.",
        "Look into that node's own output, or nodes.log. Started again under its name it is taken back.",
    ),
    Entry(
        "not-encrypted",
        "An address beyond this machine, and no keys",
        "nervenet: tcp://hub:5555: is beyond this machine, and without keys anybody on the way could read and "
        'forge what goes there: make one by "nervenet keys new NAME", let the others in by "nervenet keys allow '
        'FILE.pub --role ROLE", and give --keys keys (or say --insecure)',
        "Plain connections stay within one machine.",
        "Make keys and give `--keys DIR` ([security.md](security.md)), or say `--insecure` on a network where "
        "nobody listens.",
    ),
    Entry(
        "not-written",
        "Files of the run folder cannot be written",
        "launcher: runs/first/events.jsonl is not whole: No space left on device",
        "The disk is full or read-only. The run itself goes on; a checkpoint that could not be written is tried again.",
        "Make room. If the model could not be saved the run ends with exit code 1, and `--resume RUN` writes it "
        "from the last checkpoint.",
    ),
    Entry(
        "out-of-files",
        "Too few open files are allowed",
        "nervenet: Too many open files: no socket can be opened; see ulimit -n",
        "Every connection is an open file: a node needs about 70, and 6 more for each neighbor; a broker 2 for "
        "each node.",
        "`ulimit -n 65536` before the command, or `LimitNOFILE=` in its service; `nervenet doctor` says how many "
        "are needed.",
    ),
    Entry(
        "rounds-failed",
        "Rounds have failed too often in a row",
        "nervenet: round 7 failed 3 times in a row: 1 of at least 2 clients answered within 30 s",
        "Too few clients answered until the deadline (the quorum was not met), or what they sent could not be "
        "averaged; the message names who is missing, and why.",
        "See what keeps those clients. `--deadline` waits longer for slow ones, `--quorum` and `--min-clients` "
        "go on with fewer. `--resume RUN` continues after the last round that was complete.",
    ),
    Entry(
        "run-folder-in-use",
        "Another process writes to the run folder",
        "nervenet: runs/first: another process is writing to this run folder; stop it first",
        "The run that is to be resumed has not ended.",
        "Wait for it or end it; nodes.json has the process ids. A lock ends with its process, so none is ever "
        "left behind.",
    ),
    Entry(
        "site-declines",
        "A site's own policy does not admit what is asked",
        "nervenet: this site took part in nothing: site.allow.max_rounds: found 50 rounds; allowed: 20 at most",
        "[site.allow] of the site's file limits what it takes part in: the key, what was found and what is allowed are "
        "named. The coordinator, or the peers, are told the same.",
        "If the site is to take part, change its file (`nervenet explain site.allow`); else change the run.",
    ),
    Entry(
        "started-again",
        "A newer process has this node's name",
        "nervenet: north of run 'flowers' has been started again since, and has the name now (pid 4712 at "
        "tcp://10.0.0.7:41002)",
        "The node was started a second time while this one was cut off or stopped, or `--replace` was given.",
        "Nothing, if that was meant: the newer one goes on. Else end one of the two, and let their machines "
        "agree on the time.",
    ),
    Entry(
        "too-few-nodes",
        "Not enough nodes are there",
        "nervenet: run 'flowers' failed to start: 2 of 3 nodes joined within 30 s (network.join_deadline_s): "
        "north, south",
        "The others were not started in time, cannot reach the broker, were refused, or have gone since.",
        "Look at those that are missing: their own last line says why. `network.join_deadline_s` waits longer at "
        "the start, `federated.wait_deadline_s` or `gossip.wait_deadline_s` later; `--min-clients` goes on with "
        "fewer.",
    ),
    Entry(
        "version-mismatch",
        "Two nodes speak no common version of the protocol",
        "nervenet: the node that asks speaks version 2 of the protocol (nervenet of an unknown release), the "
        "broker version 1 of the protocol (nervenet 0.1.0): upgrade nervenet at the broker",
        "Their releases of nervenet are too far apart.",
        "Upgrade the one that is named. `nervenet doctor` shows what both speak.",
    ),
    Entry(
        "wrong-key",
        "The other side does not have the key that is allowed here",
        "the broker at tcp://hub:5555 does not have the key that is allowed here "
        "(rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7 of hub), or does not encrypt",
        "Its key was made anew, another node stands at that address, or somebody in between poses as it.",
        "Compare keys by telephone (`nervenet keys show`). If it has a new key, revoke the old one here and "
        "allow the new one.",
    ),
)

BY_CODE = {entry.code: entry for entry in ENTRIES}


def markdown() -> str:
    """Return docs/errors.md."""
    return "\n".join([HEAD, *(entry.markdown() for entry in ENTRIES)])


if __name__ == "__main__":
    print(markdown(), end="")
