"""python-consul with what it lacks: time-outs, a token that stays out of URLs, TLS, and one family of errors.

Works unchanged on py-consul, the maintained fork: `http_connect` and the `headers` and `raw` parameters are its.
"""

import http.client
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import consul
import consul.base
import urllib3

from .address import AgentAddress
from .errors import Denied, Garbled, Refused, Unreachable

# More than any answer that this project asks for; an endless one must not fill the memory.
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
Params = list[tuple[str, Any]] | None


class Timeouts(NamedTuple):
    """Seconds to connect, and to read an answer (a blocking query gets its wait, and Consul's jitter, on top)."""

    connect: float = 1.0
    read: float = 2.0


class Client(consul.Consul):
    """A Consul client for one agent. Not for use across a fork or by several threads: build one for each.

    Every method raises `ConsulError` and nothing else. `on_answer` is called whenever an answer, or the end of the
    connection, has come and is not read yet.
    """

    def __init__(
        self,
        address: AgentAddress,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 (immutable)
        on_answer: Callable[[], None] | None = None,
    ) -> None:
        self.address = address
        self._timeouts = timeouts
        self._on_answer = on_answer
        with _hidden_consul_variables():
            super().__init__(host=address.host, port=address.port, scheme=address.scheme)
        self.token = None  # the library would put it into the URL; `_Transport` sends it as a header

    def connect(self, *_args: Any, **_kwargs: Any) -> "_Transport":
        """python-consul's hook for a transport."""
        return _Transport(self.address, self._timeouts, self._on_answer)

    http_connect = connect  # py-consul's name for the same hook

    def close(self) -> None:
        """Close the connections."""
        self.http.close()


_environ_lock = threading.Lock()


@contextmanager
def _hidden_consul_variables() -> Iterator[None]:
    """Hide CONSUL_ variables: the library lets them win over arguments and fails on a scheme or IPv6."""
    with _environ_lock:
        hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("CONSUL_")}
        try:
            yield
        finally:
            os.environ.update(hidden)


class _Transport(consul.base.HTTPClient):
    """The library's HTTP layer: `callback` turns a `consul.base.Response` into the method's result."""

    def __init__(self, address: AgentAddress, timeouts: Timeouts, on_answer: Callable[[], None] | None) -> None:
        super().__init__(address.host, address.port, address.scheme, address.verify, address.cert)
        self.base_uri = ""  # the pool knows scheme, host and port
        self._address = address
        self._timeouts = timeouts
        self._pool = _pool(address)
        if on_answer:
            self._pool.ConnectionCls = _announcing(self._pool.ConnectionCls, on_answer)

    def get(
        self,
        callback: Callable[..., Any],
        path: str,
        params: Params = None,
        headers: Any = None,
        raw: bool = False,
        expected: Collection[int] = (),
    ) -> Any:
        """`expected`: statuses that are answers, not errors; the callback tells them apart."""
        return self._call("GET", callback, path, params, raw=raw, expected=expected)

    def put(
        self, callback: Callable[..., Any], path: str, params: Params = None, data: Any = "", headers: Any = None
    ) -> Any:
        return self._call("PUT", callback, path, params, data)

    def post(
        self, callback: Callable[..., Any], path: str, params: Params = None, data: Any = "", headers: Any = None
    ) -> Any:
        return self._call("POST", callback, path, params, data)

    def delete(
        self, callback: Callable[..., Any], path: str, params: Params = None, data: Any = "", headers: Any = None
    ) -> Any:
        return self._call("DELETE", callback, path, params, data)

    def close(self) -> None:
        self._pool.close()

    def _call(
        self,
        method: str,
        callback: Callable[..., Any],
        path: str,
        params: Params,
        data: Any = "",
        raw: bool = False,
        expected: Collection[int] = (),
    ) -> Any:
        params = [(name, value) for name, value in params or [] if name != "token"]  # it goes into the header only
        code, headers, content = self._exchange(method, self.uri(path, params), data, self._read_seconds(params))
        body: Any = content if raw else content.decode("utf-8", "replace")
        if code not in expected:
            self._raise_for_status(code, content)
        try:
            return callback(consul.base.Response(code, headers, body))
        except _NOT_CONSULS as error:
            raise self._garbled(f"an answer that is not Consul's (status {code})") from error

    def _exchange(self, method: str, uri: str, data: Any, read_seconds: float) -> tuple[int, Any, bytes]:
        try:
            response = self._pool.urlopen(
                method,
                uri,
                body=data.encode() if isinstance(data, str) else data,
                headers=self._token_header(),
                timeout=urllib3.Timeout(connect=self._timeouts.connect, read=read_seconds),
                redirect=False,  # a redirect could carry the token elsewhere
                retries=False,  # whether to ask again, the caller knows
                preload_content=False,
            )
            try:
                return response.status, response.headers, self._content(response, read_seconds)
            except BaseException:
                response.close()  # what is left of the answer must not meet the next question
                raise
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if any(map(_is_no_http, _causes(error))):
                raise self._garbled("an answer that is not HTTP") from error
            raise Unreachable(f"Consul at {self._address.url} {self._reason(error, read_seconds)}.") from error

    def _content(self, response: urllib3.BaseHTTPResponse, seconds: float) -> bytes:
        """The body, bounded in size and in time: a time-out of a socket does not end an answer that drips."""
        deadline = time.monotonic() + seconds
        body = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):  # what has come; `read` would wait until the chunk is full
            body += chunk
            if len(body) > _MAX_ANSWER_BYTES:
                raise self._garbled(f"more than {_MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError
            if response.length_remaining == 0:
                break
        return bytes(body)

    def _token_header(self) -> dict[str, str]:
        try:
            token = self._address.token
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not plain ASCII text"
            raise Denied(f"CONSUL_HTTP_TOKEN_FILE {self._address.token_file} cannot be read: {reason}.") from None
        if not token.isprintable():
            raise Denied(f"CONSUL_HTTP_TOKEN_FILE {self._address.token_file} holds more than one line.")
        return {"X-Consul-Token": token} if token else {}

    def _read_seconds(self, params: Params) -> float:
        """https://developer.hashicorp.com/consul/api-docs/features/blocking: the agent adds up to wait/16."""
        query = dict(params or [])
        wait = re.fullmatch(r"(\d+)s", str(query.get("wait", "")))
        return self._timeouts.read + (int(wait[1]) * 17 / 16 if "index" in query and wait else 0)

    def _raise_for_status(self, code: int, content: bytes) -> None:
        said = " ".join(content[:200].decode("utf-8", "replace").split()).rstrip(".")
        if code == 403:
            raise Denied(f"Consul at {self._address.url} denied permission: {said or 'no reason given'}.")
        if code >= 500:
            raise Unreachable(f"Consul at {self._address.url} answered {code}: {said or 'no reason given'}.")
        if 300 <= code < 400:
            raise self._garbled(f"a redirect (status {code}), which Consul never sends")
        if 400 <= code < 500 and code not in (404, 409):  # what these mean, the callback knows
            raise Refused(f"Consul at {self._address.url} refused the request ({code}): {said or 'no reason given'}.")

    def _garbled(self, what: str) -> Garbled:
        return Garbled(f"What listens at {self._address.url} is not a Consul agent: it sent {what}.")

    def _reason(self, error: Exception, read_seconds: float) -> str:
        refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # a subclass of the next, for history's sake
        if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not refused:
            return f"did not accept a connection within {self._timeouts.connect:g} s"
        if isinstance(error, (urllib3.exceptions.ReadTimeoutError, TimeoutError)):
            return f"accepted the connection and gave no answer within {read_seconds:g} s"
        return _root_reason(error)


def _pool(address: AgentAddress) -> urllib3.HTTPConnectionPool:
    """One keep-alive connection. urllib3, which the library has below it, because it costs a third of `requests`."""
    if address.scheme == "http":
        return urllib3.HTTPConnectionPool(address.host, address.port)
    certificate, key = address.cert if isinstance(address.cert, tuple) else (address.cert, None)
    if address.verify is False:  # chosen by the operator, who need not be told at each request
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return urllib3.HTTPSConnectionPool(
        address.host,
        address.port,
        cert_reqs="CERT_NONE" if address.verify is False else "CERT_REQUIRED",
        ca_certs=address.verify if isinstance(address.verify, str) else None,
        cert_file=certificate,
        key_file=key,
    )


def _announcing(kind: Any, on_answer: Callable[[], None]) -> Any:
    class Connection(kind):
        def getresponse(self) -> Any:
            if not urllib3.util.wait_for_read(self.sock, self.timeout):
                raise TimeoutError
            on_answer()
            return super().getresponse()

    return Connection


# What the library's callbacks raise on an answer of another shape; RecursionError: JSON that is nested too deeply.
_NOT_CONSULS = (consul.ConsulException, ValueError, LookupError, AttributeError, TypeError, RecursionError)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps, outermost first: urllib3 wraps in four different ways."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return
        yield cause
        wrapped = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        cause = next((inner for inner in wrapped if isinstance(inner, BaseException)), None)


def _is_no_http(cause: BaseException) -> bool:
    cut_off = isinstance(cause, (OSError, http.client.IncompleteRead))
    return isinstance(cause, (http.client.HTTPException, urllib3.exceptions.DecodeError)) and not cut_off


def _root_reason(error: BaseException) -> str:
    """The operating system's or OpenSSL's own words, without what urllib3 puts around them."""
    causes = list(_causes(error))
    if any(isinstance(cause, http.client.RemoteDisconnected) for cause in causes):
        return "closed the connection without an answer"
    said = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    words = re.sub(r"^\[.*?\] | \(_ssl\.c:\d+\)", "", said[-1]) if said else type(causes[-1]).__name__
    return {"Connection refused": "refused the connection"}.get(words, f"is out of reach: {words}")
