"""Where a command listens for HTTP: HOST:PORT as an option says it, bound before anything is served."""

from __future__ import annotations

import errno
import socket


def address_of(option: str, text: str) -> tuple[str, int]:
    """Return host and port of the value of an option. Raises ExperimentError for what is no HOST:PORT."""
    from nervenet.nodes.config.keys import ExperimentError

    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        raise ExperimentError(f"{option} {text}: expected HOST:PORT, as in 127.0.0.1:8000")
    return host.strip("[]"), int(port)


def url_of(listener: socket.socket, host: str, *, encrypted: bool) -> str:
    """Return the address to type: with the port that was picked, where any was asked for."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if encrypted else 'http'}://{shown}:{listener.getsockname()[1]}"


def listening(option: str, host: str, port: int) -> socket.socket:
    """Return a socket that listens there; an option of the command line asked for it.

    Raises
    ------
    AddressInUse, BadAddress
    """
    from nervenet.broker.errors import AddressInUse, BadAddress

    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        # It listens at once: from here on connections are queued instead of refused.
        listener = socket.create_server(address[:2], family=family, dualstack_ipv6=dual)
        # Its connections inherit this. asyncio sets it only on sockets whose protocol is named, which here it is not:
        # the head of an answer would then be acknowledged, 40 ms later, before its body is sent.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except UnicodeError:  # what can be no name of a machine
        raise BadAddress(f"{option} {host}:{port}", "expected the name or the address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"{host}:{port}") from None
        raise BadAddress(f"{option} {host}:{port}", str(error.strerror)) from None
