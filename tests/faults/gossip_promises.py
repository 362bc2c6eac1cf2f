"""What must hold in every history of a gossip run by rounds, whatever befalls it; each promise gives its breaches.

1. ``ends``: everybody who is left does all rounds, and no new incarnation of a peer fails while there is a run to join.
2. ``waits``: no round lasts longer than its training, the deadline after it, and the time for which its peer was
   stopped.
3. ``once``: an incarnation mixes each round at most once, in order; of each other peer at most one model, which that
   peer has sent it for this round. If it goes back, then only from rounds that it did alone, and sent to nobody.
4. ``rows``: the weights of a mixing sum to one, and none is negative.
5. ``pairs`` (edges that both ends announce): of two that mix each other in, each takes as much of the other. If only
   one takes of the other, then the other way a model was lost or late; or one of the two has heard something within the
   round that changes the edge between them, or had given the other up.
6. ``mean`` (the same, with Metropolis-Hastings weights): where all pairs of a round are mutual, the sum over those who
   mix is kept.
7. ``mends``: once it has been calm for a while all who live mix in every round; the graph is in one piece, its edges go
   both ways, and the mean is kept. Of a directed or varying graph everybody hears exactly those who are to send to it.
8. ``mass`` (push-sum): what a peer holds, and what it has given the others beyond what it had of them, is one; the same
   of the numerator. Between two incarnations no more arrives than was sent. So what is held, on its way, and
   gone with the dead is one for each incarnation. No mass is ever zero or less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from gossip_drawn import CALM_AT, DEADLINE_S, TRAIN_S
from gossip_histories import Incarnation, Played
from nervenet.nodes.gossip.algorithms.push_sum import GONE_MASS, RECEIVED, RECEIVED_MASS, SENT, SENT_MASS
from nervenet.nodes.topology.base import components

EPS = 1e-12
MENDED_S = 14.0  # after the calm began
VARYING_MENDED_S = 20.0  # where each round has a graph of its own, so that a neighbor is heard every third round or so

Breaches = Iterator[str]


def ends(run: Played) -> Breaches:
    over = max((incarnation.closed.get(run.rounds, 0.0) for incarnation in run.incarnations), default=0.0)
    for incarnation in run.incarnations:
        if incarnation is not run.current[incarnation.name] or incarnation.left:
            continue
        assert incarnation.node is not None
        if incarnation.failed.startswith("the run is over") or (
            incarnation.failed.startswith("no peer of the run") and over
        ):
            continue
        if incarnation.node.alive or incarnation.failed:
            where = f"{incarnation.machine.status} in round {incarnation.machine.round}"
            yield f"{incarnation.name}, incarnation {incarnation.number}, has not ended: {incarnation.failed or where}"


def waits(run: Played) -> Breaches:
    for incarnation in run.incarnations:
        assert incarnation.node is not None
        stops = [(stop.at, stop.at + stop.for_s) for stop in run.history.stops if stop.node == incarnation.name]
        usual = TRAIN_S * run.paces.get(incarnation.name, 1.0) + DEADLINE_S
        for now, kind, fields in incarnation.node.published:
            if kind == "round.completed" and fields["round"]:
                began = now - fields["duration_s"]
                stopped = sum(max(0.0, min(now, end) - max(began, at)) for at, end in stops)
                if fields["duration_s"] > usual + stopped + 0.1:
                    yield f"{incarnation.name} was {fields['duration_s']:.2f} s in round {fields['round']}"


def once(run: Played) -> Breaches:
    for incarnation in run.incarnations:
        if incarnation.twice or list(incarnation.mixes) != sorted(incarnation.mixes):
            twice, mixes = incarnation.twice, list(incarnation.mixes)
            yield f"{incarnation.name} mixed rounds {twice} twice, or out of order: {mixes}"
        for mix, sent in incarnation.undone:
            if len(mix.names) > 1 or sent:
                yield f"{incarnation.name} went back from round {mix.round}, which was mixed by {mix.names}: {sent}"
        for number, mix in incarnation.mixes.items():
            if len(set(mix.names)) != len(mix.names):
                yield f"{incarnation.name} in round {number} mixed somebody twice: {mix.names}"
            for name, body in zip(mix.names, mix.bodies, strict=True):
                if name != incarnation.name and not any(
                    other.sent.get(number, {}).get(incarnation.name) is body
                    for other in run.incarnations
                    if other.name == name
                ):
                    yield f"{incarnation.name} in round {number} mixed what {name} never sent it for that round"


def rows(run: Played) -> Breaches:
    for incarnation in run.incarnations:
        for number, mix in incarnation.mixes.items():
            if abs(sum(mix.coefficients) - 1.0) > EPS or min(mix.coefficients) < 0:
                yield f"{incarnation.name} in round {number} weighs {mix.coefficients}"


def announced(run: Played) -> bool:
    return run.incarnations[0].machine.membership.announces


def by_round(run: Played) -> dict[int, list[Incarnation]]:
    """Who mixed in each round: those whose mixing was done, too."""
    found: dict[int, list[Incarnation]] = {}
    for incarnation in run.incarnations:
        for number in incarnation.after:
            found.setdefault(number, []).append(incarnation)
    return found


def weight(incarnation: Incarnation, number: int, other: Incarnation) -> float:
    """How much an incarnation took in a round of what this other one sent it; 0: nothing."""
    mix = incarnation.mixes[number]
    body = other.sent.get(number, {}).get(incarnation.name)
    for name, found, share in zip(mix.names, mix.bodies, mix.coefficients, strict=True):
        if name == other.name and found is body:
            return share
    return 0.0


def disturbed(one: Incarnation, other: Incarnation, number: int) -> bool:
    """Whether within the round something was said to `one` that may change what it holds of `other`."""
    window = one.opened.get(number, 0.0), one.closed[number]
    return any(window[0] <= at <= window[1] and who in (other.name, "*") for at, who in one.reported)


def given_up(one: Incarnation, other: Incarnation, number: int) -> bool:
    """Whether `one` held `other` for dead when it sent."""
    at = one.closed[number]
    assert one.node is not None
    standing = ""
    for now, kind, fields in one.node.published:
        if now <= at and fields.get("subject") == other.name and kind.startswith("node."):
            standing = kind
    return standing in ("node.suspect", "node.lost", "node.left")


def pairs(run: Played) -> Breaches:
    if not announced(run) or run.needs.mass:
        return
    for number, mixed in by_round(run).items():
        for one in mixed:
            for other in mixed:
                if one.name == other.name:
                    continue
                taken, back = weight(one, number, other), weight(other, number, one)
                if taken and back:
                    if taken != back:
                        yield f"round {number}: {one.name} takes {taken} of {other.name}, which takes {back} of it"
                elif taken:
                    sent = other.name in one.sent.get(number, {})
                    came = other.arrived.get((one.name, number), np.inf) < other.closed[number]
                    if sent and not came:
                        continue
                    if any(disturbed(a, b, number) or given_up(a, b, number) for a, b in ((one, other), (other, one))):
                        continue
                    yield f"round {number}: {one.name} takes of {other.name}, not the other way (sent: {sent})"


def mutual(run: Played, number: int, mixed: list[Incarnation]) -> bool:
    """Whether the matrix over those who mixed in a round is symmetric, and nobody took of one who did not mix."""
    for one in mixed:
        taken = {other.name for other in mixed if weight(one, number, other)}
        if taken != set(one.mixes[number].names) - {one.name}:
            return False
        if any(weight(one, number, other) != weight(other, number, one) for other in mixed if other is not one):
            return False
    return True


def moved(number: int, mixed: list[Incarnation]) -> float:
    """How far a round moved the sum over those who mixed."""
    return float(np.abs(sum(one.before[number] - one.after[number] for one in mixed)).max())


def mean(run: Played) -> Breaches:
    if not announced(run) or run.needs.mass:
        return
    for number, mixed in by_round(run).items():
        if mutual(run, number, mixed) and moved(number, mixed) > EPS:
            yield f"round {number} moved the sum by {moved(number, mixed):g}"


def kept(run: Played) -> tuple[int, int]:
    """Return the rounds in which all pairs were mutual, and all rounds."""
    rounds = by_round(run)
    return sum(mutual(run, number, mixed) for number, mixed in rounds.items()), len(rounds)


def ended_alone(incarnation: Incarnation) -> bool:
    assert incarnation.node is not None
    warned = [fields["reason"] for _, kind, fields in incarnation.node.published if kind == "warning"]
    return any(reason.startswith("ends alone") for reason in warned)


def mends(run: Played) -> Breaches:
    incarnations = [
        incarnation for incarnation in run.incarnations if incarnation.left and not ended_alone(incarnation)
    ]
    if len(incarnations) < 2:
        return
    # The last rounds of a run are those in which the first peers leave.
    opened = {
        n: min(incarnation.opened.get(n, np.inf) for incarnation in incarnations) for n in range(1, run.rounds - 1)
    }
    mended = CALM_AT + (MENDED_S if run._layout(run.names).fixed else VARYING_MENDED_S)
    numbers = [number for number, at in opened.items() if mended < at < np.inf]
    if not numbers:
        yield f"no round of {run.rounds} was opened after {mended} s"
    for number in numbers:
        if missing := [
            incarnation.name
            for incarnation in incarnations
            if number not in incarnation.after and number > min(incarnation.mixes, default=0)
        ]:
            yield f"round {number}, long after: {missing} did not mix"
            continue
        there = [incarnation for incarnation in incarnations if number in incarnation.after]
        taken = {one.name: tuple(n for n in one.mixes[number].names if n != one.name) for one in there}
        if announced(run):
            parts = components({name: tuple(sorted(around)) for name, around in taken.items()})
            if len(parts) > 1:
                yield f"round {number}, long after: the graph is in pieces: {parts}"
            if not run.needs.mass and not (mutual(run, number, there) and moved(number, there) < EPS):
                yield f"round {number}, long after: not every pair is mutual"
        else:
            out = run._layout([incarnation.name for incarnation in there]).out(number)
            if short := [n for n, around in taken.items() if set(around) != {s for s in out if n in out[s]}]:
                yield f"round {number}, long after: {short} do not hear all whom the graph has send to them"


def mass(run: Played) -> Breaches:
    if not run.needs.mass:
        return
    incarnations = [incarnation for incarnation in run.current.values() if "mass" in incarnation.work.state]
    total = 0.0
    for one in incarnations:
        state = one.work.state
        gone = sum(float(v) for k, v in state.items() if k.startswith(GONE_MASS))
        sent = {k.removeprefix(SENT_MASS): float(v) for k, v in state.items() if k.startswith(SENT_MASS)}
        had = {k.removeprefix(RECEIVED_MASS): float(v) for k, v in state.items() if k.startswith(RECEIVED_MASS)}
        held = float(state["mass"])
        if abs(held + gone + sum(sent.values()) - sum(had.values()) - 1.0) > EPS:
            yield f"{one.name}: its mass {held} and what it gave do not sum to one"
        if held <= 0:
            yield f"{one.name} has the mass {held}"
        x = state["numerator"] + one.forgotten
        parts = [v for k, v in state.items() if k.startswith((SENT, RECEIVED))]
        scale = max([1.0, *(float(np.abs(v).max()) for v in parts)])
        x = x + sum(v for k, v in state.items() if k.startswith(SENT))
        x = x - sum(v for k, v in state.items() if k.startswith(RECEIVED))
        if np.abs(x - one.moved).max() > 10 * EPS * scale:
            yield f"{one.name}: its numerator and what it gave are not what training made, by {np.abs(x - one.moved)}"
        total += held + gone
        for name in {*sent, *had}:
            other = run.current[name]
            theirs = other.work.state
            if one.links.get(name) == other.number and other.links.get(one.name) == one.number:
                underway = sent.get(name, 0.0) - float(theirs.get(RECEIVED_MASS + one.name, 0.0))
                if underway < -EPS:
                    yield f"{name} has had {-underway} more of {one.name} than that has given"
                total += underway
            else:
                total += sent.get(name, 0.0) - had.get(name, 0.0)
    if incarnations and abs(total - len(incarnations)) > len(incarnations) * EPS:
        yield f"held, on the way and gone are {total}, not one for each of {len(incarnations)} incarnations"
    for incarnation in run.incarnations:
        assert incarnation.node is not None
        for _, kind, fields in incarnation.node.published:
            if kind == "round.completed" and fields.get("mass", 1.0) <= 0:
                yield f"{incarnation.name} had the mass {fields['mass']} after round {fields['round']}"


PROMISES: dict[str, Callable[[Played], Breaches]] = {
    promise.__name__: promise for promise in (ends, waits, once, rows, pairs, mean, mends, mass)
}


def breaches(run: Played) -> list[str]:
    """Yield every breach found in a history that has been played, with the promise that it breaks in front."""
    return [f"{name}: {breach}" for name, promise in PROMISES.items() for breach in promise(run)]
