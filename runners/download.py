"""Fetches a recording or file that a row names by its address, from public addresses alone."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from promptc.runners.attachments import AttachmentRefused

SECONDS = 60.0
_MOST_REDIRECTS = 5


def is_public(address: str) -> bool:
    """False for this machine, its network and other places that a row has no business to ask."""
    return ipaddress.ip_address(address).is_global


async def download(
    url: str, most_bytes: int, *, allowed: Callable[[str], bool] = is_public
) -> tuple[bytes, str]:
    """The content behind an address, and the name at the end of its path. Raises AttachmentRefused."""
    import aiohttp

    # Where the connection really goes is checked, whatever name, number or redirect led there.
    connector = aiohttp.TCPConnector(socket_factory=_guarded(allowed))
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    content = b""
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url, max_redirects=_MOST_REDIRECTS) as response,
        ):
            if response.status != 200:
                raise AttachmentRefused(f"{url} answers with status {response.status}")
            async for part in response.content.iter_chunked(1 << 16):
                content += part
                if most_bytes and len(content) > most_bytes:
                    raise AttachmentRefused(f"{url} has more than the allowed {most_bytes:,} bytes")
    except TimeoutError as error:
        raise AttachmentRefused(f"{url} did not answer within {SECONDS:g} s") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise AttachmentRefused(f"{url} cannot be fetched: {error}") from error
    return content, os.path.basename(unquote(urlsplit(url).path))


def _guarded(allowed: Callable[[str], bool]) -> Callable[[Any], socket.socket]:
    def opened(place: Any) -> socket.socket:
        family, kind, protocol, _, address = place
        if not allowed(address[0]):
            raise PermissionError(errno.EACCES, f"{address[0]} is no public address")
        found = socket.socket(family, kind, protocol)
        found.setblocking(False)
        return found

    return opened
