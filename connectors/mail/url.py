"""Mail servers as URLs: where to connect, how to log in, whether the line must be encrypted."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class MailURL:
    """One server. tls: ``implicit``, ``starttls`` or ``none``. path: decoded, without its leading slash. options: the rest
    of the query. The password is kept out of ``repr``."""

    scheme: str
    host: str
    port: int
    username: str
    password: str = field(repr=False)
    tls: str
    path: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, url: str, *, schemes: Mapping[str, int], options: Sequence[str]) -> MailURL:
        """Read a URL. schemes: name → default port; a name ending in ``s`` is TLS from the first byte. options: the query
        keys allowed. Raises ValueError with a message that shows no secret."""
        try:
            split = urlsplit(url)
            host, port = split.hostname or "", split.port
        except ValueError:
            raise ValueError("a mail URL must look like scheme://user:password@host:port") from None
        if split.scheme not in schemes:
            raise ValueError(f"a mail URL starts with one of {', '.join(f'{name}://' for name in schemes)}")
        if not host:
            raise ValueError(f"the {split.scheme}:// URL names no host")
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        if unknown := sorted(set(query) - set(options)):
            raise ValueError(f"the {split.scheme}:// URL has unknown options: {', '.join(unknown)}")
        return cls(
            scheme=split.scheme,
            host=host,
            port=port if port is not None else schemes[split.scheme],
            username=unquote(split.username or ""),
            password=unquote(split.password or ""),
            tls=_tls(split.scheme, host, query.pop("tls", "")),
            path=unquote(split.path.lstrip("/")),
            options=query,
        )

    def tls_context(self) -> ssl.SSLContext:
        """Certificates and host names are checked; ``cafile`` adds nothing to the system's authorities, it replaces them."""
        return ssl.create_default_context(cafile=self.options.get("cafile") or None)


def _tls(scheme: str, host: str, asked: str) -> str:
    if scheme.endswith("s"):
        if asked:
            raise ValueError(f"{scheme}:// is encrypted from the first byte; tls= says nothing there")
        return "implicit"
    if asked not in ("", "starttls", "none"):
        raise ValueError("tls= is starttls or none")
    return asked or ("none" if is_loopback(host) else "starttls")


def is_loopback(host: str) -> bool:
    """Is this host, as written, the machine itself?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
