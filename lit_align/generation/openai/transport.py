"""One HTTP exchange with a server, and what can go wrong in it."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import TYPE_CHECKING, Any, final

import httpx

from lit_align.errors import ServiceError
from lit_align.generation.openai.answers import Answer, Fault, context_of, one_line, read_answer

if TYPE_CHECKING:
    from lit_align.generation.openai.generator import OpenAIGenerator

_LONGEST_BODY = 16 * 2**20
_LONGEST_PROBE = 30.0
_SHORTEST_SECRET = 8


@final
class Transport:
    """Open connections to a server; use it in an `async with` statement.

    Proxies and keys that the environment holds for other programs are left alone, redirects are not followed, and
    cookies are not taken.

    Args:
        options: How the server is reached.
        key: Sent as a bearer token, and shown nowhere.
    """

    def __init__(self, options: "OpenAIGenerator", *, key: str | None) -> None:
        self._options, self._key = options, key
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=httpx.Timeout(options.read_timeout, connect=options.connect_timeout, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=options.max_concurrency),
            verify=ssl.create_default_context(cafile=options.ca_file) if options.ca_file else True,
            proxy=options.proxy,
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    async def __aenter__(self) -> "Transport":
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def context(self, model: str) -> int | None:
        """The context length of a model, where the server tells.

        Raises:
            ServiceError: There is no server, or it wants another key.
        """
        try:
            async with asyncio.timeout(_LONGEST_PROBE):
                status, headers, body = await self._exchange("GET", "/models", None)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServiceError(
                f"{self._options.url}: {one_line(str(error)) or 'no connection'}\n"
                "Is the server running, and is this its address?"
            ) from error
        except (TimeoutError, httpx.HTTPError, _TooLarge):
            return None  # not every server lists its models; what is wrong with others will show
        if status in (401, 403) and isinstance(fault := self._read(status, headers, body), Fault):
            raise ServiceError(f"{self._options.url}: {fault.reason}")
        return context_of(body, model) if status == 200 else None

    async def ask(self, body: Mapping[str, Any]) -> Answer | Fault:
        """The answer to one request for a response."""
        try:
            async with asyncio.timeout(self._options.total_timeout):
                return self._read(*await self._exchange("POST", "/chat/completions", body))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
            reason = one_line(str(error)) or "no connection"
            return Fault(reason=reason, kind="stop" if untrusted else "retry", overloaded=True, reached=False)
        except (TimeoutError, httpx.TimeoutException):
            return Fault(reason="no answer in time", overloaded=True)
        except httpx.HTTPError as error:
            return Fault(reason=f"the connection broke: {one_line(str(error)) or type(error).__name__}")
        except _TooLarge:
            return Fault(reason=f"the answer is larger than {_LONGEST_BODY >> 20} MiB")

    def _read(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer | Fault:
        """The answer; where it is an error, without the key, which a server may quote."""
        if status != 200 and self._key and len(self._key) >= _SHORTEST_SECRET:  # others, such as EMPTY, are none
            body = body.replace(self._key.encode(), b"***")
        return read_answer(status, headers, body)

    async def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        content = None if body is None else json.dumps(body).encode()
        headers = None if body is None else {"Content-Type": "application/json"}
        url = self._options.url + path
        received = bytearray()
        async with self._http.stream(method, url, content=content, headers=headers) as response:
            async for piece in response.aiter_bytes():
                received += piece
                if len(received) > _LONGEST_BODY:
                    raise _TooLarge
            return response.status_code, response.headers, bytes(received)


class _TooLarge(Exception):
    """More was sent than any response has."""
