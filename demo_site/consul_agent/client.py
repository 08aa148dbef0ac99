"""python-consul with what it lacks: time-outs, a token that stays out of URLs, TLS, and one family of errors.

Works unchanged on py-consul, the maintained fork: `http_connect` and the `headers` and `raw` parameters are its.
"""

import os
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import consul
import consul.base

from ..messages import _
from .address import AgentAddress
from .connection import Connection
from .errors import Denied, Garbled, Refused, Unreachable

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
        self.base_uri = ""  # the connection knows scheme, host and port
        self._address = address
        self._timeouts = timeouts
        self._connection = Connection(address, timeouts.connect, on_answer)

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
        self._connection.close()

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
        code, headers, content = self._connection.exchange(
            method,
            self.uri(path, params),
            data.encode() if isinstance(data, str) else data,
            self._token_header(),
            self._read_seconds(params),
        )
        body: Any = content if raw else content.decode("utf-8", "replace")
        if code not in expected:
            self._raise_for_status(code, content)
        try:
            return callback(consul.base.Response(code, headers, body))
        except _NOT_CONSULS as error:
            what = _("an answer that is not Consul's (status %(status)s)", status=code)
            raise Garbled.sent(self._address.url, what) from error

    def _token_header(self) -> dict[str, str]:
        path = self._address.token_file
        try:
            token = self._address.token
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or _("it is not plain ASCII text")
            message = _("CONSUL_HTTP_TOKEN_FILE %(path)s cannot be read: %(reason)s.", path=path, reason=reason)
            raise Denied(message) from None
        if not token.isprintable():
            raise Denied(_("CONSUL_HTTP_TOKEN_FILE %(path)s has more than one line.", path=path))
        return {"X-Consul-Token": token} if token else {}

    def _read_seconds(self, params: Params) -> float:
        """https://developer.hashicorp.com/consul/api-docs/features/blocking: the agent adds up to wait/16."""
        query = dict(params or [])
        wait = re.fullmatch(r"(\d+)s", str(query.get("wait", "")))
        return self._timeouts.read + (int(wait[1]) * 17 / 16 if "index" in query and wait else 0)

    def _raise_for_status(self, code: int, content: bytes) -> None:
        reason = " ".join(content[:200].decode("utf-8", "replace").split()).rstrip(".") or _("no reason given")
        url = self._address.url
        if code == 403:
            raise Denied(_("Consul at %(url)s denied permission: %(reason)s.", url=url, reason=reason))
        if code >= 500:
            raise Unreachable.answered(url, code, reason)
        if 300 <= code < 400:
            what = _("a redirect (status %(status)s), which Consul never sends", status=code)
            raise Garbled.sent(url, what)
        if 400 <= code < 500 and code not in (404, 409):  # what these mean, the callback knows
            answer = {"url": url, "status": code, "reason": reason}
            raise Refused(_("Consul at %(url)s refused the request (%(status)s): %(reason)s.", **answer))


# What the library's callbacks raise on an answer of another shape; RecursionError: JSON that is nested too deeply.
_NOT_CONSULS = (consul.ConsulException, ValueError, LookupError, AttributeError, TypeError, RecursionError)
