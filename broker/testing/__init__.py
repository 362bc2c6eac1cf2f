"""A transport for tests: nodes in one process, without sockets, on any clock, with any faults.

`MemoryTransport` keeps the whole contract of `Transport`; what fails over it fails over a socket as well. With a clock
that a test advances and `Faults` of a seed, a run is deterministic.

Examples
--------
>>> import asyncio
>>> from nervenet.broker.messages import Goodbye
>>> from nervenet.broker.testing import Faults, MemoryNetwork, MemoryTransport
>>> async def main():
...     network = MemoryNetwork()
...     received = []
...     server = MemoryTransport("server", "peer", "demo", network=network)
...     client = MemoryTransport("client", "peer", "demo", network=network, binds=False)
...     await server.open(received.append, print)
...     await client.open(lambda event: None, print)
...     client.link("server", server.addresses)
...     await asyncio.sleep(0.01)
...     network.faults = Faults(seed=1, duplicate=1.0)
...     client.send("server", Goodbye(round=3, reason="done"))
...     await asyncio.sleep(0.01)
...     return [type(event).__name__ for event in received]
>>> asyncio.run(main())
['LinkUp', 'Arrival', 'Arrival']
"""

from .faults import Faults, Partition
from .memory import Clock, MemoryNetwork, MemoryTransport

__all__ = ["Clock", "Faults", "MemoryNetwork", "MemoryTransport", "Partition"]
