import errno
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ...bounded import read_file
from ...config import probing
from ...config.masking import Masker
from ...document.fields import unknown
from ...document.model import Document
from ...document.parsing import MAX_BYTES, DocumentInvalid, Fault, parse
from ...messages import Message, joined

_MOST_BYTES = 4 * MAX_BYTES  # what is a little too long is told with its length
_MOST_IGNORED = 20
_STATUSES = {errno.EACCES: os.EX_NOPERM, errno.EPERM: os.EX_NOPERM, errno.EFBIG: os.EX_CONFIG}


class Command(BaseCommand):
    help = "Check a document before it is put into Consul, for CI and Git hooks. Asks Consul for nothing."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the document; - reads standard input")
        parser.add_argument(
            "--probe", action="store_true", help="also try whether its Redis can count, as a worker does"
        )

    def handle(self, **options: Any) -> None:
        name = "standard input" if options["file"] == "-" else str(Message.of(options["file"]))
        try:
            document = parse(_read(options["file"], name))
        except DocumentInvalid as error:
            raise _invalid(f"The document in {name} is invalid", error.faults) from None
        if ignored := _ignored(document):
            self.stderr.write(f"Ignored, because this version does not know them: {ignored}")
        if options["probe"] and (faults := probing.faults(document)):
            raise _invalid(f"The document in {name} is valid, but would be rejected", faults)
        self.stdout.write(f"{name}: valid{', and its Redis can count' if options['probe'] else ''}.")


def _read(file: str, name: str) -> bytes:
    try:
        return sys.stdin.buffer.read(_MOST_BYTES) if file == "-" else read_file(Path(file), _MOST_BYTES)
    except OSError as error:
        status = _STATUSES.get(error.errno or 0, os.EX_NOINPUT)
        raise CommandError(f"{name} cannot be read: {error.strerror}.", returncode=status) from None


def _ignored(document: Document) -> Message:
    """The paths of members that are not settings: one may be a misspelt setting, or have a secret in its name."""
    masks = Masker(settings.ENVIRONMENT, document)
    return joined((Message.of(masks.clean(path)) for path in unknown(document)), ", ", _MOST_IGNORED)


def _invalid(text: str, faults: Iterable[Fault]) -> CommandError:
    return CommandError("\n  ".join([f"{text}:", *map(str, faults)]), returncode=os.EX_CONFIG)
