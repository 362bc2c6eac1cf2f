"""Who may ask a server of ours, and over what: loopback, a token, TLS; and where neither is there, no start."""

from __future__ import annotations

import errno
import hmac
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 16  # characters of a token


@dataclass(frozen=True, slots=True)
class Access:
    """What a command was told of tokens and TLS; empty: nothing."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    insecure: bool = False

    def allows(self, authorization: str) -> bool:
        """Return whether the header Authorization of a request holds the token; compared in constant time."""
        if not self.token:
            return True
        scheme, _, given = authorization.partition(" ")
        fits = hmac.compare_digest(given.strip().encode(errors="replace"), self.token.encode())
        return fits and scheme.lower() == "bearer"

    def context(self) -> ssl.SSLContext | None:
        """Return what encrypts, for a server of the standard library."""
        if not self.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key or None, _no_pass_phrase)
        return context


def access_of(
    option: str, host: str, token_file: Path | None, certificate: Path | None, key: Path | None, *, insecure: bool
) -> tuple[Access, str]:
    """Return the access to a server at a host, which `option` asks for, and what is to be said of it; empty: nothing.

    Raises
    ------
    ExperimentError
        The address is beyond this machine, and there is neither a token nor TLS; or a file cannot be used.
    """
    from nervenet.broker.security.plain import is_local
    from nervenet.nodes.config.keys import ExperimentError

    if key is not None and certificate is None:
        raise ExperimentError("--tls-key: there is no certificate with it; expected --tls-cert FILE, too")
    token = "" if token_file is None else _token(token_file)
    access = Access(token, str(certificate or ""), str(key or ""), insecure)
    try:
        access.context()
    except (OSError, ssl.SSLError) as error:
        what = f"--tls-cert {certificate}" + (f", --tls-key {key}" if key else "")
        why = error.strerror or str(error)
        raise ExperimentError(f"{what}: {why}; expected a certificate and its key, both as PEM") from None
    if is_local(f"tcp://{f'[{host}]' if ':' in host else host}:0"):
        return access, ""
    if not token and not certificate and not insecure:
        ways = "--token-file FILE (requests must bear its token), or --tls-cert FILE --tls-key FILE"
        anybody = "beyond this machine anybody could ask"
        raise ExperimentError(f"{option} {host}: {anybody}; expected {ways}; or --insecure, to allow just that")
    if not certificate:
        asked = "the rows and the answers" if option == "--http" else "requests and answers"
        whose = f"the token, {asked}" if token else asked
        return access, f"{whose} travel unencrypted; --tls-cert and --tls-key, or a proxy in front, encrypt them"
    return access, ""


def _no_pass_phrase() -> str:
    """Refuse a key that is encrypted itself: OpenSSL would ask at the terminal, and nobody may sit there."""
    raise OSError(errno.EACCES, "the key is protected by a pass phrase: openssl pkey -in KEY -out NEW removes it")


def _token(path: Path) -> str:
    from nervenet.nodes.config.keys import ExperimentError

    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise ExperimentError(f"--token-file {path}: {why}; expected a file that holds the token") from None
    if stat.S_IMODE(mode) & 0o077:
        raise ExperimentError(f"--token-file {path}: others can read it; expected chmod 600 {path}")
    if len(token) < SHORTEST or not token.isprintable() or not token.isascii() or " " in token:
        how = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        raise ExperimentError(f"--token-file {path}: expected one line, a token of {SHORTEST} letters or more; {how}")
    return token
