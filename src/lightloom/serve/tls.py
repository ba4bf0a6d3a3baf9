"""A certificate for TLS: the server's own, made once, or that of a folder."""

from __future__ import annotations

import datetime
import ipaddress
import socket
from collections.abc import Collection
from pathlib import Path

from lightloom.core.errors import UserError, check_installed

OWN = "self"
NAMES = ("cert.pem", "key.pem")
DAYS = 825  # that browsers accept at most
RENEWED = 30  # days before it ends


def files(where: str, home: Path, hosts: Collection[str]) -> dict[str, str]:
    """uvicorn's options. where: `self`, or a folder; home: of a certificate of its own; hosts: names that it is for."""
    folder = home if where == OWN else Path(where).expanduser()
    certificate, key = (folder / name for name in NAMES)
    if where == OWN:
        check_installed("ssl=self", "serve", "cryptography")
        if not _is_good(certificate, key, hosts):
            _make(certificate, key, hosts)
    for path in (certificate, key):
        if not path.is_file():
            raise UserError(f"ssl={where}: there is no {path}; put cert.pem and key.pem there, or say ssl=self.")
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def _names(hosts: Collection[str]) -> list[str]:
    return sorted({"localhost", socket.gethostname(), *hosts})


def _is_good(certificate: Path, key: Path, hosts: Collection[str]) -> bool:
    """Is there one for these names that lasts?"""
    from cryptography import x509

    if not certificate.is_file() or not key.is_file():
        return False
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left.days > RENEWED and set(_names(hosts)) <= set(names.get_values_for_type(x509.DNSName))


def _make(certificate: Path, key: Path, hosts: Collection[str]) -> None:
    """Write both; the key for this user alone."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lightloom")])
    now = datetime.datetime.now(datetime.UTC)
    names = [*map(x509.DNSName, _names(hosts)), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.parent.mkdir(parents=True, exist_ok=True)
    key.touch(mode=0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
