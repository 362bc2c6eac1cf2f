"""Several nodes of one process behind one inbox: they exchange in memory, and share the connections to other processes.

`Host` is the process, `HostedTransport` what each of its nodes has in place of sockets of its own.
"""

from .host import Host
from .transport import HostedTransport

__all__ = ["Host", "HostedTransport"]
