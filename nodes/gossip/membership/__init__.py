"""Membership without a master: who is there, whom a peer knows, and which edges count while that changes.

All of it is pure: events and `now` in, effects and changes out, every draw addressed. `service.MembershipService` ties
the parts together for the round machine. A member is described by a `MemberState`; larger (incarnation, refutations,
state) is newer. The incarnation is larger at each start of a name; only the member itself counts the refutations.
"""
