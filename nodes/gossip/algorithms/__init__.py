"""The gossip algorithms that go by rounds: what is sent after local training, and what is made of what came.

`registry` has the names, `contract` what an algorithm is, `checks` what its theory excludes.
"""

from .base import Algorithm, AlgorithmError, Incoming, Needs, Outgoing, Parcel, Progress, State, Stepped

__all__ = [
    "Algorithm",
    "AlgorithmError",
    "Incoming",
    "Needs",
    "Outgoing",
    "Parcel",
    "Progress",
    "State",
    "Stepped",
]
