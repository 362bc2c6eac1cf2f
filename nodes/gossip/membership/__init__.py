"""Membership without a master: who is there, whom a peer knows, and which edges count while that changes.

All of it is pure: events and `now` in, effects out, every draw addressed. `fellows.py` ties the parts together for the
exchange, which needs to know no more than this:

- **in**: the events of `nodes/runtime/effects.py` as the shell posts them (`Started`, `Arrived`, `LinkUp`, `LinkLost`,
  `TimerFired`); the rounds as they are opened (`open(round)`); a goodbye (`left(peer)`).
- **out**: effects to pass on (`Send`, `Link`, `Unlink`, `SetTimer`), and `Change`s: a peer is ``alive`` (new or here
  again), ``restarted``, ``suspect`` (it is waited for no longer), ``dead`` (its edges are dropped and the graph is
  repaired around it) or ``left``; or this node itself is ``superseded`` by a newer life of its name, and stops.
- **for a round r**, after `open(r)`: `around`, with `to(r)` and `sources(r)`, the peers whose edge counts in it;
  `degree`, which goes with the model; and `weights(r, degrees)`, the mixing weights of what came.

A member is told of by `MemberState`; larger (incarnation, refutations, state) is newer. The incarnation is the member's
life, larger at each start; only the member itself counts the refutations.
"""
