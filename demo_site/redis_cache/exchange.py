"""One command and its reply, without waiting: what an event loop can do by itself."""

from typing import Any, Self

from redis.exceptions import RedisError

from .pool import DeadlineSocket, RetirablePool


class Exchange:
    """A command that was sent, and whose reply is an integer. Whoever has it calls `reply` once."""

    def __init__(self, pool: RetirablePool, connection: Any, command: tuple[str | int, ...]) -> None:
        self._pool, self._connection = pool, connection
        self._socket: DeadlineSocket = connection.socket
        self._error: RedisError | None = None
        self._reply: int | None = None
        try:
            connection.send_command(*command)
        except RedisError as error:
            self._error = error

    @classmethod
    def begin(cls, pool: RetirablePool, *command: str | int) -> Self | None:
        """Send a command of a few bytes; None if there is no connection with which that takes no time."""
        connection = pool.get_ready()
        return connection and cls(pool, connection, command)

    @property
    def file(self) -> int | None:
        """The connection's descriptor; None where the connection is lost."""
        return None if self._error else self._socket.fileno()

    def is_complete(self) -> bool:
        """Whether the integer has arrived. For anything else `reply` has to ask redis-py, which may wait."""
        received = self._socket.receive_early()
        if received[:1] == b":" and received[-2:] == b"\r\n" and received[1:-2].isdigit():
            self._reply, self._socket.early = int(received[1:-2]), b""
        return self._reply is not None

    def reply(self) -> Any:
        """The reply, for which it waits until the connection's deadline. Raises `RedisError`."""
        if self._reply is not None:
            self._pool.put_back(self._connection)
            return self._reply
        try:
            if self._error:
                raise self._error
            return self._connection.read_response()
        finally:
            self._pool.release(self._connection)
