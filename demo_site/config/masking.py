"""Settings as people may see them: secrets masked, and what differs between two documents."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from django.conf import settings
from django.utils.crypto import salted_hmac
from pydantic import Field, SecretStr

from ..document.fields import values
from ..document.model import FIELDS, Document
from ..document.parsing import SHORTEST_SECRET
from ..environment import TABLE, Environment
from ..identity import FINGERPRINT_SALT
from ..messages import MASK, Line, Message

# Each takes linear time: no two matches begin in the same run of characters, so none is read again and again.
_AUTHORITY = re.compile(r"(?<=://)[^/\s]*")  # "?" and "#" included: they may be unquoted in a password
_URL_PARAMETER = re.compile(r"([?&][^=?&#\s]*password=)([^&#\s]+)", re.IGNORECASE)  # one of libpq's
_LONGEST_TOKEN = 128  # what is longer is part of nothing else, and costs too much to compare at every place


def replaced(text: str, secret: str, mask: Callable[[str], str]) -> str:
    """The text with its mask in place of the secret wherever that stands as a whole, not as part of a longer word."""
    if len(secret) < SHORTEST_SECRET or secret not in text:
        return text
    if len(secret) > _LONGEST_TOKEN:
        return text.replace(secret, mask(secret))
    before, after = (r"\b" if re.match(r"\w", edge) else "" for edge in (secret[0], secret[-1]))
    return re.sub(f"{before}{re.escape(secret)}{after}", lambda found: mask(found[0]), text)


class Masker:
    """Hides secrets by value where one of 8 characters or more stands as a whole, and every password inside a URL.

    It knows the secrets of the environment and each `SecretStr` in `sources`: documents, or settings by path.
    """

    def __init__(self, environment: Environment, *sources: Document | Mapping[str, Any] | None) -> None:
        settings_by_path = [values(each) if isinstance(each, Document) else each for each in sources if each]
        given_values = [value for each in settings_by_path for value in each.values()]
        typed = [value.get_secret_value() for value in given_values if isinstance(value, SecretStr)]
        found = [*_environment_secrets(environment), *typed]
        self._secrets = sorted({secret for secret in found if secret}, key=len, reverse=True)

    def mask(self, secret: str) -> str:
        """A mask with a keyed fingerprint: equal on two instances exactly when secret and SECRET_KEY are equal."""
        content = secret.encode("utf-8", "surrogatepass")
        fingerprint = salted_hmac(FINGERPRINT_SALT, content, algorithm="sha256").hexdigest()[:8]
        return f"{MASK} (fingerprint {fingerprint})"

    def clean(self, value: Any) -> Any:
        """A value with every known secret, and every password in a URL, masked. Numbers stay numbers."""
        if isinstance(value, Message):
            return value.replaced(self.clean)
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        if not isinstance(value, str):
            return value
        text = _AUTHORITY.sub(lambda found: self._clean_authority(found[0]), value)
        text = _URL_PARAMETER.sub(lambda found: found[1] + self.mask(found[2]), text)
        for secret in self._secrets:
            text = replaced(text, secret, self.mask)
        return text

    def _clean_authority(self, authority: str) -> str:
        """`user:password@host` with the password masked: up to the last "@", because one may be in the password."""
        account, at, host = authority.rpartition("@")
        user, _, password = account.partition(":")
        return f"{user}:{self.mask(password)}@{host}" if at and password else authority


def _environment_secrets(environment: Environment) -> Iterator[str]:
    """Those inside DATABASE_URL included, and the token that the agent is sent now; some may be empty."""
    for value in (environment[variable.name] for variable in TABLE if variable.secret):
        yield from value if isinstance(value, list) else [value]
    yield settings.SECRET_KEY
    with contextlib.suppress(OSError):  # no file, no token
        yield settings.CONFIGURATION.start.address.token
    database = settings.DATABASES["default"]
    options = [value for name, value in database.get("OPTIONS", {}).items() if "password" in name.lower()]
    yield from (str(value) for value in (database.get("PASSWORD"), *options) if value)


Finite = Annotated[float, Field(allow_inf_nan=False)]
Value = str | bool | int | Finite | list[str] | None


@dataclass(frozen=True)
class Shown:
    """A setting's value; `withheld` where a mask stands in its place. None: not set, or with `withheld` not valid."""

    value: Value
    withheld: bool = False


Settings = Mapping[str, Shown]
UNSET = Shown(None)
INVALID = Shown(None, withheld=True)  # what stands there may be a misplaced secret


@dataclass(frozen=True)
class Difference:
    setting: Line
    before: Shown
    after: Shown


def shown(there: Mapping[str, Any], masks: Masker) -> Settings:
    """Every setting by path, of those that are there; any other is not set, whatever its default."""
    return {path: show(there.get(path), masks) for path in FIELDS}


def show(value: Any, masks: Masker) -> Shown:
    """One value, as people may see it."""
    if isinstance(value, SecretStr):
        return Shown(masks.mask(value.get_secret_value()), withheld=True)
    cleaned = masks.clean(value)
    return Shown(cleaned, withheld=cleaned != value)


def differences(before: Settings, after: Settings) -> list[Difference]:
    """What changed, in the order of the settings. A changed secret shows by its fingerprint."""
    paths = dict.fromkeys([*FIELDS, *after, *before])
    pairs = [Difference(path, before.get(path, UNSET), after.get(path, UNSET)) for path in paths]
    return [pair for pair in pairs if pair.before != pair.after]
