"""A certificate authority for one test run, with certificates for a server on loopback and for a client."""

from dataclasses import dataclass, replace
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority's certificate, a certificate and key for each side, and those of another server."""

    authority: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path
    other_certificate: Path
    other_key: Path

    @property
    def misnamed(self):
        """The same, with a server that shows the certificate of `other.example`."""
        return replace(self, server_certificate=self.other_certificate, server_key=self.other_key)


def make_certificates(directory):
    """Write a new authority's files into `directory`."""
    authority = trustme.CA()
    names = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key", "other.pem", "other.key")
    paths = Certificates(*(directory / name for name in names))
    authority.cert_pem.write_to_path(paths.authority)
    _write(authority.issue_cert("localhost", "127.0.0.1", "::1"), paths.server_certificate, paths.server_key)
    _write(authority.issue_cert("client@example.org"), paths.client_certificate, paths.client_key)
    _write(authority.issue_cert("other.example"), paths.other_certificate, paths.other_key)
    return paths


def _write(issued, certificate_path, key_path):
    for position, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(certificate_path, append=position > 0)
    issued.private_key_pem.write_to_path(key_path)
