"""Two certificate authorities, and a server's certificate for `localhost` from the first, in the folder
that is given: ca.pem, other-ca.pem, server.pem, server.key."""

import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

folder = pathlib.Path(sys.argv[1])
now = datetime.datetime.now(datetime.timezone.utc)


def certificate(name, key, issuer, issuer_key, *, is_ca):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if not is_ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def write(name, pem):
    (folder / name).write_bytes(pem)


PEM = serialization.Encoding.PEM
ca_key, other_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
ca = certificate("Pawl test CA", ca_key, None, ca_key, is_ca=True)
other = certificate("Another CA", other_key, None, other_key, is_ca=True)
server = certificate("localhost", server_key, ca.subject, ca_key, is_ca=False)
write("ca.pem", ca.public_bytes(PEM))
write("other-ca.pem", other.public_bytes(PEM))
write("server.pem", server.public_bytes(PEM))
write(
    "server.key",
    server_key.private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ),
)
