"""One kept-alive HTTP session to one address: proxy, certificates, deadline, and what a broken one means."""

from __future__ import annotations

import io
import ipaddress
import os
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from promptc.runners.models.request import CallFailed
from promptc.runners.models.transports.failures import Failing, one_line

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 30.0

_LARGE_BODY = 1 << 20


class Answer(msgspec.Struct, frozen=True):
    """A whole HTTP reply. Header names are found in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (in either case) set for a URL."""
    parts = urlsplit(url)
    named = {name.lower(): value for name, value in environment.items() if name.lower().endswith("_proxy")}
    # Under a web server HTTP_PROXY holds the Proxy header of whoever asks: then only the lower case counts.
    if "REQUEST_METHOD" in environment:
        named["http_proxy"] = environment.get("http_proxy", "")
    proxies = {name.removesuffix("_proxy"): value for name, value in named.items() if value}
    if _bypassed(parts.hostname or "", parts.port, proxies.get("no", "")):
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether NO_PROXY covers the host: `*`, a domain with all below it, a host and port, or a network."""
    for entry in (part.strip().lower() for part in no_proxy.split(",")):
        domain = entry.removeprefix("*").lstrip(".")
        if entry == "*" or (domain and (host == domain or host.endswith(f".{domain}"))):
            return True
        if entry == f"{host}:{port}" or ("/" in entry and _in_network(host, entry)):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def trusted_certificates(environment: Mapping[str, str]) -> ssl.SSLContext:
    """TLS settings with the authorities that SSL_CERT_FILE, REQUESTS_CA_BUNDLE or SSL_CERT_DIR name.

    Raises OSError when such a file cannot be read.
    """
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    file = next((environment[name] for name in names if environment.get(name)), None)
    return ssl.create_default_context(cafile=file, capath=environment.get("SSL_CERT_DIR") or None)


class Connection:
    """Asks at one URL. Raises CallFailed for everything that is not an HTTP reply.

    A refused connection or an unknown host is fatal at once while the server was never reached, since nothing
    will be different for the next request; later it may be a restart, and is worth a retry.
    """

    def __init__(self, url: str, who: Failing, environment: Mapping[str, str], timeout: float) -> None:
        self._url = url
        self._who = who
        self._environment = environment
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None
        self.reached = False

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send the body as JSON and read the whole reply."""
        # aiohttp warns about long byte strings, since it cannot send them in pieces.
        data = body if len(body) < _LARGE_BODY else io.BytesIO(body)
        return await self._sent("POST", headers, data=data)

    async def get(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Ask with these parameters behind the URL and read the whole reply."""
        return await self._sent("GET", headers, params=query)

    async def _sent(self, method: str, headers: Mapping[str, str], **sent: Any) -> Answer:
        import aiohttp

        session = self._session or self._open()
        try:
            async with session.request(
                method, self._url, headers=headers, proxy=self._proxy, allow_redirects=False, **sent
            ) as response:
                content = await response.read()
        except TimeoutError as error:
            raise self._timed_out(connecting=isinstance(error, aiohttp.ConnectionTimeoutError)) from None
        except aiohttp.ClientError as error:
            raise self._broken(error) from None
        self.reached = True
        return Answer(response.status, response.headers, content)

    async def close(self) -> None:
        """Close the session and its sockets."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        self._proxy = proxy_for(self._url, self._environment)
        if self._proxy and urlsplit(self._proxy).scheme not in ("http", "https"):
            raise CallFailed(
                f"{self._who.model}: cannot use the proxy {_without_password(self._proxy)}",
                fatal=True,
                hint="set HTTPS_PROXY to an http:// proxy, or NO_PROXY to go without",
            )
        try:
            secure = trusted_certificates(self._environment) if self._needs_tls() else True
        except (OSError, ssl.SSLError) as error:
            raise CallFailed(
                f"{self._who.model}: the certificate authorities cannot be read: {error}",
                fatal=True,
                hint="check the file that SSL_CERT_FILE or REQUESTS_CA_BUNDLE names",
            ) from None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=secure, ttl_dns_cache=300, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", "User-Agent": "promptc"},
            auto_decompress=True,
        )
        return self._session

    def _needs_tls(self) -> bool:
        return self._url.startswith("https:") or (self._proxy or "").startswith("https:")

    def _timed_out(self, *, connecting: bool) -> CallFailed:
        if connecting and not self.reached:
            return self._unreachable(f"no connection within {CONNECT_SECONDS:g} s")
        return CallFailed(
            f"{self._who.model}: no reply within {self._timeout:g} s",
            kind="timeout",
            retryable=True,
            hint="a slow model needs a longer timeout",
        )

    def _broken(self, error: aiohttp.ClientError) -> CallFailed:
        """What aiohttp's exception means. Certificate and address errors stay as they are whatever comes."""
        import aiohttp

        model = self._who.model
        if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
            return CallFailed(
                f"{model}: the certificate of {self._who.address} was not accepted: {one_line(str(error))}",
                fatal=True,
                hint="set SSL_CERT_FILE to a file with your authority's certificate",
            )
        if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
            return self._unreachable(
                f"the proxy does not let us through ({one_line(_short(error))})", proxy=True
            )
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return self._unreachable("no such host")
        if isinstance(error, aiohttp.ClientConnectorError):
            return self._unreachable(os.strerror(error.errno).lower() if error.errno else "no connection")
        if isinstance(error, aiohttp.InvalidURL):
            return CallFailed(
                f"{model}: {self._who.address} is not an address",
                fatal=True,
                hint=f"correct {self._who.setting}",
            )
        return CallFailed(
            f"{model}: the connection broke ({one_line(_short(error))})",
            retryable=True,
        )

    def _unreachable(self, why: str, *, proxy: bool = False) -> CallFailed:
        hint = (
            "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
            if proxy
            else f"is the server running, and is {self._who.setting} right?"
        )
        return CallFailed(
            f"{self._who.model}: cannot reach {self._who.address}: {why}",
            retryable=self.reached,
            fatal=True,
            hint=hint,
        )


def _short(error: Exception) -> str:
    return str(error) or type(error).__name__


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}"
