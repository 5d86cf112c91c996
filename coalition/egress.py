"""May a request leave this machine, and to which address exactly? Only to networks the operator lists; none by default.

A name is resolved once, every address it has must be in a listed network, and the connection goes to that address: a
name that answers differently a moment later changes nothing. The certificate is still checked against the name.
"""

import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import SplitResult, urlsplit

import urllib3
import urllib3.connection
from django.conf import settings
from urllib3.exceptions import HTTPError

LONGEST_S = 5.0  # from the first byte sent to the last header read; resolving the name comes before it
PORTS = {"https": 443, "http": 80}

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class EgressRefused(Exception):
    """The request may not leave. ``str()`` is a sentence for the person who gave the address."""


class Unanswered(Exception):
    """The request left, and no whole answer came. ``str()`` is a sentence."""


@dataclass(frozen=True)
class Target:
    """Where a request goes: the name it is for, and the one address it is sent to. ``path`` includes the query."""

    scheme: str
    host: str
    address: str
    port: int
    path: str


def is_open() -> bool:
    """Return True when the operator lets requests leave to anywhere at all."""
    return bool(settings.WEBHOOK_NETWORKS or settings.WEBHOOK_PLAIN_NETWORKS)


def inspect(url: str) -> SplitResult:
    """Return the parts of an address whose form may be asked for. Resolves nothing. Raises EgressRefused."""
    if not is_open():
        raise EgressRefused("The operator of this server lists no network that requests may go to.")
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        raise EgressRefused("This is not an address.") from None
    if parts.scheme not in PORTS or not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        raise EgressRefused("An address begins with https:// and a host, in plain ASCII.")
    if parts.username is not None or parts.password is not None:
        raise EgressRefused("An address holds no user name and no password.")
    if parts.fragment:
        raise EgressRefused("An address ends before the #.")
    if port not in settings.WEBHOOK_PORTS:
        raise EgressRefused(f"Port {port} is not one of those the operator of this server lists.")
    if parts.scheme == "http" and not settings.WEBHOOK_PLAIN_NETWORKS:
        raise EgressRefused("The operator of this server lets nothing leave without TLS: use https.")
    if (literal := _literal(parts.hostname)) is not None:
        _check(literal, parts.scheme)
    return parts


def resolve(url: str) -> Target:
    """Return where a request to an address goes; the name is looked up here, once. Raises EgressRefused."""
    parts = inspect(url)
    port = parts.port or PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise EgressRefused("The name of the host cannot be resolved.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        _check(ipaddress.ip_address(address), parts.scheme)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, str(parts.hostname), addresses[0], port, path)


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """Send a POST and return the status of the answer, whatever it is; its body is not read. Follows no redirect.

    Raises EgressRefused when it may not leave, Unanswered when no answer came within ``LONGEST_S``.
    """
    target = resolve(url)
    connection = _connection_to(target)
    cut_off = threading.Event()

    def cut() -> None:
        """Wake the reader: a timeout per read would let an answer drip for ever, a byte at a time."""
        cut_off.set()
        if connection.sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    watch = threading.Timer(LONGEST_S, cut)
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", target.path, body, {"Host": _host_header(target), **headers}, preload_content=False)
        return connection.getresponse().status
    except ssl.SSLCertVerificationError:
        raise Unanswered("Its certificate is not valid for its name.") from None
    except (HTTPError, HTTPException, OSError, ValueError) as error:
        late = cut_off.is_set() or isinstance(error, (TimeoutError, urllib3.exceptions.TimeoutError))
        sentence = f"No whole answer within {LONGEST_S:g} seconds." if late else f"No answer: {type(error).__name__}."
        raise Unanswered(sentence) from None
    finally:
        watch.cancel()
        connection.close()


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _check(address: IPAddress, scheme: str) -> None:
    """Raise EgressRefused unless the operator lists a network that holds the address, for this scheme."""
    address = getattr(address, "ipv4_mapped", None) or address
    if any(address in network for network in settings.WEBHOOK_PLAIN_NETWORKS):
        return
    if not any(address in network for network in settings.WEBHOOK_NETWORKS):
        raise EgressRefused("Its network is not one of those the operator of this server lists.")
    if scheme != "https":
        raise EgressRefused("Requests to its network need TLS: use https.")


def _host_header(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == PORTS[target.scheme] else f"{host}:{target.port}"


def _connection_to(target: Target) -> urllib3.connection.HTTPConnection:
    """Return a connection to the pinned address that takes nothing (proxies, a netrc) from the environment."""
    if target.scheme == "http":
        return urllib3.connection.HTTPConnection(target.address, target.port, timeout=LONGEST_S)
    return urllib3.connection.HTTPSConnection(
        target.address,
        target.port,
        timeout=LONGEST_S,
        cert_reqs="CERT_REQUIRED",
        server_hostname=target.host,
    )
