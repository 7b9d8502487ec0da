"""Certificates that countersign itself would never issue: expired, foreign, for the wrong purpose. With the issuing
key of a test's own state folder, read as only root of that machine could."""
import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


def now():
    return dt.datetime.utcnow().replace(microsecond=0)


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def name(cn):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def foreign_ca(cn="Another CA"):
    """(certificate, key) of an authority that nobody here trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    cert = (x509.CertificateBuilder().subject_name(name(cn)).issuer_name(name(cn)).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now() - DAY).not_valid_after(now() + 365 * DAY)
            .add_extension(x509.BasicConstraints(True, None), True).add_extension(ski, False)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
            .sign(key, hashes.SHA256()))
    return cert, key


def ours(state):
    """(certificate, key) of the issuing CA of a state folder."""
    cert = x509.load_pem_x509_certificate((Path(state) / "ca/issuing.crt").read_bytes())
    key = serialization.load_pem_private_key((Path(state) / "ca/issuing.key").read_bytes(), None)
    return cert, key


def leaf(folder, ca, cn="minted", begins=-DAY, ends=DAY, eku=(EKU.CLIENT_AUTH,), sans=None, is_ca=False, key=None,
         usage=True):
    """Writes CN.crt (leaf + its issuer) and CN.key into folder; returns their paths."""
    issuer, issuer_key = ca
    key = key or ec.generate_private_key(ec.SECP256R1())
    sans = sans or [x509.UniformResourceIdentifier(f"spiffe://countersign.test/device/{cn}")]
    b = (x509.CertificateBuilder().subject_name(name(cn)).issuer_name(issuer.subject).public_key(key.public_key())
         .serial_number(x509.random_serial_number()).not_valid_before(now() + begins).not_valid_after(now() + ends)
         .add_extension(x509.SubjectAlternativeName(sans), False)
         .add_extension(x509.BasicConstraints(is_ca, None), True)
         .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
         .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
             issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value), False))
    if eku:
        b = b.add_extension(x509.ExtendedKeyUsage(list(eku)), False)
    if usage:
        b = b.add_extension(x509.KeyUsage(True, False, False, False, False, is_ca, is_ca, False, False), True)
    cert = b.sign(issuer_key, hashes.SHA256())
    crt, keyfile = Path(folder) / f"{cn}.crt", Path(folder) / f"{cn}.key"
    pems = cert.public_bytes(serialization.Encoding.PEM) + issuer.public_bytes(serialization.Encoding.PEM)
    crt.write_bytes(pems)
    keyfile.write_bytes(pem(key))
    keyfile.chmod(0o600)
    return crt, keyfile
