"""Who is who in a fleet: a server's certificate, and keys by which it knows its devices."""

import datetime
import ipaddress
import socket
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from addapt._disk import disk_reason, make_folder, write_atomically
from addapt._errors import FleetError, OptionError

AUTHORITY, CERTIFICATE, SERVER_KEY = "ca.crt", "server.crt", "server.key"
DEVICES, PUBLIC = "devices", ".pub"
OWNER_ONLY = 0o600  # may read a key
VALID_DAYS = 3650
OLDEST = datetime.datetime(1970, 1, 2, tzinfo=datetime.timezone.utc)  # boards may lack a clock


def make_certificate(folder: Path, host: str) -> None:
    """Make an authority of one's own and a certificate that it signs, unless they are there.

    Args:
        folder: where they lie, with the server's key, which only its owner may read.
        host: by which devices call the server; they may also use its name and its addresses.

    Raises:
        FleetError: the disk refused.
    """
    if (folder / CERTIFICATE).exists():
        return
    authority_key, server_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    authority = _name("addapt fleet")
    root = (
        _certificate(authority, authority, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    own = (
        _certificate(_name(socket.gethostname()[:64]), authority, server_key.public_key())
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    try:
        make_folder(folder / DEVICES)
        write_atomically(folder / SERVER_KEY, _private(server_key))
        (folder / SERVER_KEY).chmod(OWNER_ONLY)
        write_atomically(folder / AUTHORITY, root.public_bytes(pem))
        write_atomically(folder / CERTIFICATE, own.public_bytes(pem))
    except OSError as error:
        raise FleetError(f"The keys were not written to {folder}: {disk_reason(error)}") from error


def make_key(file: Path) -> Path:
    """Make a device's key, whose public half is the same name with .pub; return that.

    Raises:
        OptionError: there is one already.
        FleetError: the disk refused.
    """
    if file.exists():
        raise OptionError(f"There is a file {file} already: give the name of a new one.")
    key, public = ec.generate_private_key(ec.SECP384R1()), file.with_name(file.name + PUBLIC)
    text = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    try:
        make_folder(file.parent)
        write_atomically(file, _private(key, serialization.PrivateFormat.OpenSSH))
        file.chmod(OWNER_ONLY)
        write_atomically(public, text + b"\n")
    except OSError as error:
        raise FleetError(f"The key was not written to {file}: {disk_reason(error)}") from error
    return public


def known_devices(folder: Path) -> list[Path]:
    """Return the public keys of devices that may take part."""
    return sorted((folder / DEVICES).glob(f"*{PUBLIC}"))


def _names(host: str) -> list[x509.GeneralName]:
    """Return all that a server on this machine may be called."""
    called = dict.fromkeys([host, socket.gethostname(), "localhost", "127.0.0.1", *_addresses()])
    found: list[x509.GeneralName] = []
    for name in called:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _addresses() -> list[str]:
    """Return this machine's own addresses, as far as it knows them by its name."""
    try:
        infos = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(info[4][0]).partition("%")[0] for info in infos]


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(VALID_DAYS)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(OLDEST)
        .not_valid_after(until)
    )


def _private(
    key: ec.EllipticCurvePrivateKey,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
