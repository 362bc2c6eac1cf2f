"""Callbacks of options that take the address of a broker or a node: what is none is refused first of all."""

from __future__ import annotations

import click


def to_dial(_context: click.Context, option: click.Parameter, address: str | None) -> str | None:
    if address is not None:
        _check(option, address, address)
    return address


def to_dial_by_name(_context: click.Context, option: click.Parameter, address: str | None) -> str | None:
    """Of an address with the node's name before it, or without: ``NAME@tcp://HOST:PORT``."""
    if address is not None:
        from nervenet.nodes.runtime.identity import seed_of

        _check(option, address, seed_of(address)[1])
    return address


def to_bind(_context: click.Context, option: click.Parameter, address: str) -> str:
    _check(option, address, address, bind=True)
    return address


def _check(option: click.Parameter, given: str, address: str, *, bind: bool = False) -> None:
    from nervenet.broker.errors import BadAddress  # late: it loads ZeroMQ

    if found := _problem(address, bind=bind):
        raise BadAddress(f"{option.opts[0]} {given}", found)


def _problem(address: str, *, bind: bool) -> str | None:
    """Return what is wrong with an address, or None."""
    import zmq
    from nervenet.broker.bound_sockets import SERVICES
    from nervenet.broker.errors import BadAddress
    from nervenet.broker.sockets import split_bind

    scheme, _, rest = address.partition("://")
    if scheme == "tcp" and not bind and not _ends_in_port(rest):
        return "expected tcp://HOST:PORT, with the port on which it listens"
    try:
        bound = split_bind(address, SERVICES if bind else SERVICES[:1])  # one port is dialed, and three are bound
    except BadAddress as error:
        name, at, host = address.rpartition("@")
        near = "://" not in address and _ends_in_port(host)
        return error.reason + (f"; did you mean {name}{at}tcp://{host}?" if near else "")
    paths = [each.partition("://")[2] for each in bound] if bind else [rest]
    longest, most = max(len(path.encode()) for path in paths), getattr(zmq, "IPC_PATH_MAX_LEN", 103)
    if scheme == "ipc" and longest > most:
        what = "path, with what is appended to it," if bind else "path"
        return f"an ipc {what} has at most {most} bytes here, and this one {longest}"
    return None


def _ends_in_port(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and int(port) > 0
