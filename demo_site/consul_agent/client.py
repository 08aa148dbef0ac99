"""python-consul with what it lacks: time-outs, a token that stays out of URLs, TLS, and one family of errors.

Works unchanged on py-consul, the maintained fork: `http_connect` and the parameter `headers` are for it.
"""

import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partialmethod
from typing import Any, NamedTuple

import consul
import consul.base

from .. import bounded
from ..messages import MASK, _
from .address import AgentAddress
from .connection import Connection
from .durations import seconds
from .errors import Denied, Garbled, Refused, TooLong, Unreachable

# How many bytes an answer may have, HTTP's own included: a confirmation; one key or one service; a list of them.
SMALL, ONE, MANY = 64 * 1024, 1024 * 1024, 16 * 1024 * 1024
_BYTES_PER_VALUE = 64  # of Consul's JSON there are more; what is built of it takes at most four times its bytes
_MOST_DEPTH = 32
_LISTS = {"recurse", "keys"}  # the library's parameters of such questions


class Timeouts(NamedTuple):
    """Seconds to connect, and to read an answer (a blocking query gets its wait, and Consul's jitter, on top)."""

    connect: float = 1.0
    read: float = 2.0


class Client(consul.Consul):
    """A Consul client for one agent. Build one for each process and thread.

    Every method raises `ConsulError` and nothing else. `on_answer` is called when an answer has arrived, or the
    connection has ended, before it is read. `leaderless`: believe a server that knows no leader, and ask with `stale`.
    """

    def __init__(
        self,
        address: AgentAddress,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 (immutable)
        on_answer: Callable[[], None] | None = None,
        leaderless: bool = False,
    ) -> None:
        self.address = address
        self.leaderless = leaderless
        self._timeouts = timeouts
        self._on_answer = on_answer
        with _hidden_consul_variables():
            super().__init__(host=address.host, port=address.port, scheme=address.scheme)
        self.token = None  # the library would put it into the URL; `_Transport` sends it as a header

    def connect(self, *_args: Any, **_kwargs: Any) -> "_Transport":
        """python-consul's hook for a transport."""
        return _Transport(self.address, self._timeouts, self._on_answer, self.leaderless)

    http_connect = connect  # py-consul's name for the same hook

    def another(self) -> "Client":
        """A client for the same address, with a connection of its own."""
        return Client(self.address, self._timeouts)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
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

    def __init__(
        self, address: AgentAddress, timeouts: Timeouts, on_answer: Callable[[], None] | None, leaderless: bool
    ) -> None:
        super().__init__(address.host, address.port, address.scheme, address.verify, address.cert)
        self.base_uri = ""  # the connection knows scheme, host and port
        self._address = address
        self._timeouts = timeouts
        self._leaderless = leaderless
        self._sent_token = ""  # nosec B105
        self._connection = Connection(address, timeouts.connect, on_answer)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def _call(
        self,
        method: str,
        callback: Callable[..., Any],
        path: str,
        params: list[tuple[str, Any]] | None = None,
        data: Any = "",
        headers: Any = None,
        expected: Collection[int] = (),
        most_bytes: int | None = None,
    ) -> Any:
        """The statuses `expected` are answers, not errors; the callback distinguishes them.

        `most_bytes` is `SMALL`, `ONE` or `MANY`; for the library's own methods `ONE`, or `MANY` of the keys.
        """
        query = [(name, value) for name, value in params or [] if name != "token"]  # the token goes into a header only
        body = data.encode() if isinstance(data, str) else data
        # https://developer.hashicorp.com/consul/api-docs/features/blocking: the agent adds up to wait/16.
        patience = self._timeouts.read + seconds(dict(query).get("wait", "0s")) * 17 / 16
        self._sent_token = token = self.token()
        header = {"X-Consul-Token": token} if token else {}
        most = most_bytes or (ONE if _LISTS.isdisjoint(dict(query)) else MANY)
        code, headers, content = self._connection.exchange(method, self.uri(path, query), body, header, patience, most)
        if code not in expected:
            self._raise_for_status(code, content.decode("utf-8", "replace"))
        if headers.get("X-Consul-Knownleader") == "false" and not self._leaderless:
            raise Unreachable(_("Consul at %(url)s has no leader, so its answer may be old.", url=self._address.url))
        if not bounded.json_fits(content, most // _BYTES_PER_VALUE, _MOST_DEPTH):
            raise TooLong.sent(self._address.url, _("JSON of too many values, or too deep"))
        try:
            return callback(consul.base.Response(code, headers, content.decode("utf-8", "replace")))
        except _NOT_CONSULS:  # whose text may be the answer's, and so have the token
            what = _("an answer that is not Consul's (status %(status)s)", status=code)
            raise Garbled.sent(self._address.url, what) from None

    get = partialmethod(_call, "GET")
    put = partialmethod(_call, "PUT")
    post = partialmethod(_call, "POST")
    delete = partialmethod(_call, "DELETE")

    def token(self) -> str:
        """The token that a request carries now; empty without one. Raises `Denied`."""
        path = self._address.token_file
        try:
            token = self._address.token
        except OSError as error:
            file = {"path": path, "reason": error.strerror}
            raise Denied(_("CONSUL_HTTP_TOKEN_FILE %(path)s cannot be read: %(reason)s.", **file)) from None
        if not (token.isascii() and token.isprintable()):
            raise Denied(_("CONSUL_HTTP_TOKEN_FILE %(path)s must contain one line of plain ASCII text.", path=path))
        return token

    def reason(self, text: str) -> str:
        """What the agent said, for people: the start of it on one line, without the token, which it may repeat."""
        said = text.replace(self._sent_token, MASK) if self._sent_token else text
        return " ".join(said[:200].split()).rstrip(".") or _("no reason given")

    def _raise_for_status(self, code: int, content: str) -> None:
        reason, url = self.reason(content), self._address.url
        if code == 403:
            raise Denied(_("Consul at %(url)s denied permission: %(reason)s.", url=url, reason=reason))
        if code >= 500:
            raise Unreachable.answered(url, code, reason)
        if 300 <= code < 400:
            raise Garbled.sent(url, _("a redirect (status %(status)s), which Consul never sends", status=code))
        if 400 <= code < 500 and code not in (404, 409):  # the callbacks know what these mean
            answer = {"url": url, "status": code, "reason": reason}
            raise Refused(_("Consul at %(url)s refused the request (%(status)s): %(reason)s.", **answer))


# What the library's callbacks raise on an answer of another shape.
_NOT_CONSULS = (consul.ConsulException, ValueError, LookupError, AttributeError, TypeError)
