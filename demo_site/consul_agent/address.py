"""Where the Consul agent is and how to speak to it, from Consul's own environment variables.

https://developer.hashicorp.com/consul/commands#environment-variables
"""

import errno
import ipaddress
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ..bounded import read_file

DEFAULT = "127.0.0.1:8500"
_MOST_TOKEN_BYTES = 8 * 1024  # a UUID; a header of HTTP cannot be much longer
_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}  # Go's strconv.ParseBool


class AddressInvalid(ValueError):
    """The variables name no usable agent; `faults` lists every reason."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(faults))


@dataclass(frozen=True)
class AgentAddress:
    """`verify` is a flag, or the path of a CA bundle or of a directory with such files; `cert` the paths of certificate
    and key, None if one file has both; `server_name` what the agent's certificate must name, if not the host.
    """

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = 8500
    verify: bool | str = True
    cert: tuple[str, str | None] | None = None
    static_token: str = field(default="", repr=False)
    token_file: Path | None = None
    server_name: str = ""

    @property
    def url(self) -> str:
        """For messages and rows: scheme, host and port, never a credential."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def token(self) -> str:
        """The ACL token. The file is read at each call, so that a rotated token is used at once. Raises `OSError`.

        As in Consul's own client, the file wins over the plain variable unless it is empty.
        """
        raw = read_file(self.token_file, _MOST_TOKEN_BYTES) if self.token_file else b""
        from_file = raw.decode("ascii", "replace").strip()
        return from_file or self.static_token

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "AgentAddress":
        """Read the CONSUL_ variables; an empty one means unset. Raises `AddressInvalid` with all faults."""
        values = defaultdict(str, environ)
        faults: list[str] = []
        use_tls = _boolean(values, "CONSUL_HTTP_SSL", False, faults)
        verify = _boolean(values, "CONSUL_HTTP_SSL_VERIFY", True, faults)
        scheme, host, port = _where(values["CONSUL_HTTP_ADDR"] or DEFAULT, use_tls, faults)
        cert = _client_certificate(values, faults)
        authority = values["CONSUL_CACERT"] or _ca_directory(values, faults)
        server_name = _server_name(values, faults)
        _readable(values, ("CONSUL_CACERT", "CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY"), faults)
        token = values["CONSUL_HTTP_TOKEN"]
        if not token.isascii() or not token.isprintable():
            faults.append("CONSUL_HTTP_TOKEN: must be plain ASCII text")
        if faults:
            raise AddressInvalid(faults)
        token_file = Path(values["CONSUL_HTTP_TOKEN_FILE"]) if values["CONSUL_HTTP_TOKEN_FILE"] else None
        return cls(scheme, host, port, verify and (authority or True), cert, token, token_file, server_name)


def authorities(verify: str) -> list[str]:
    """The files of `AgentAddress.verify`. In a directory these are all files, as for Consul itself: OpenSSL would only
    see those that are named by a hash. Raises `OSError`, also where there is none.
    """
    if not Path(verify).is_dir():
        return [verify]
    files = sorted(str(path) for path in Path(verify).rglob("*") if path.is_file())
    if not files:
        raise FileNotFoundError(errno.ENOENT, f"no certificate in {verify}")
    return files


def _boolean(values: Mapping[str, str], name: str, default: bool, faults: list[str]) -> bool:
    if not values[name]:
        return default
    if values[name].lower() not in _BOOLEANS:
        faults.append(f"{name}: must be true or false")
    return _BOOLEANS.get(values[name].lower(), default)


def _where(text: str, use_tls: bool, faults: list[str]) -> tuple[str, str, int]:
    """Split `host`, `host:port`, `[v6]:port` or a URL. CONSUL_HTTP_SSL turns http into https, never back."""
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        problem = _address_problem(url)
    except ValueError:  # of brackets, or a port, that are none
        problem = "is not an address"
    if problem:
        faults.append(f"CONSUL_HTTP_ADDR: {problem}; give host:port, http://host:port or https://host:port")
        return "http", "", 0
    scheme = "https" if use_tls else url.scheme
    default_port = {"http": 80, "https": 443}[url.scheme] if "://" in text else 8500
    return scheme, url.hostname or "", url.port or default_port


def _address_problem(url: SplitResult) -> str:
    if url.scheme not in ("http", "https"):
        return "the scheme must be http or https"
    if url.username is not None or url.password is not None:
        return "must not contain a user name or password"
    if not url.hostname or url.port == 0 or any(c.isspace() for c in url.netloc):
        return "is not an address"
    if url.path.strip("/") or url.query or url.fragment:
        return "must not contain a path"
    return ""


def _client_certificate(values: Mapping[str, str], faults: list[str]) -> tuple[str, str | None] | None:
    certificate, key = values["CONSUL_CLIENT_CERT"], values["CONSUL_CLIENT_KEY"]
    if key and not certificate:
        faults.append("CONSUL_CLIENT_KEY: is of no use without CONSUL_CLIENT_CERT")
    return (certificate, key or None) if certificate else None


def _ca_directory(values: Mapping[str, str], faults: list[str]) -> str:
    """CONSUL_CAPATH, which counts where CONSUL_CACERT is not set, as for Consul itself."""
    directory = values["CONSUL_CAPATH"]
    if not directory or values["CONSUL_CACERT"]:
        return ""
    try:
        list(Path(directory).iterdir())  # says why it cannot be, which rglob does not
        for path in authorities(directory):
            Path(path).open("rb").close()
    except OSError as error:
        faults.append(f"CONSUL_CAPATH: cannot read {directory} ({error.strerror})")
    return directory


def _server_name(values: Mapping[str, str], faults: list[str]) -> str:
    name = values["CONSUL_TLS_SERVER_NAME"]
    if not re.fullmatch(r"([A-Za-z0-9_:-][A-Za-z0-9._:-]*)?", name):
        faults.append("CONSUL_TLS_SERVER_NAME: must be a host name or an address")
    return name


def _readable(values: Mapping[str, str], names: tuple[str, ...], faults: list[str]) -> None:
    for name in names:
        if values[name]:
            try:
                Path(values[name]).open("rb").close()
            except OSError as error:
                faults.append(f"{name}: cannot read {values[name]} ({error.strerror})")


def is_loopback(host: str) -> bool:
    """Whether the name or address means the machine itself, on each machine another one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
