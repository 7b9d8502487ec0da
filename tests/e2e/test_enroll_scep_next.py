"""GetNextCACert while a CA takes over (countersign rollover): told beforehand, signed by who is known already."""
from asn1crypto import cms
from conftest import countersign, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from scep_kit import fresh_keys  # noqa: F401
from scep_kit import PKCS_REQ, SUCCESS, Reply, Scep, message, request, rsa_key, seal, self_signed
from test_enroll_est import token


def test_the_next_ca_is_told_between_publishing_and_switching(system, work, passphrase_file):
    countersign("init", "Acme", "--state", work / "state", "--passphrase-file", passphrase_file, check=0)
    s = system(state=work / "state").start()

    def caps():
        return Scep(s).http("GET", "?operation=GetCACaps")[2].decode().split()
    assert "GetNextCACert" not in caps() and Scep(s).http("GET", "?operation=GetNextCACert")[0] == 404
    s.run("rollover", "start", "issuing", "--passphrase-file", passphrase_file, check=0)
    assert "GetNextCACert" not in caps(), "made is not published"
    s.run("rollover", "next", check=0)
    assert "GetNextCACert" in caps()
    door = Scep(s)
    status, kind, body = door.http("GET", "?operation=GetNextCACert")
    assert status == 200 and kind == "application/x-x509-next-ca-cert"
    signed = cms.ContentInfo.load(body)["content"]
    info = signed["signer_infos"][0]
    door.ra.public_key().verify(info["signature"].native, b"\x31" + info["signed_attrs"].dump()[1:], padding.PKCS1v15(), hashes.SHA256())
    bag = cms.ContentInfo.load(signed["encap_content_info"]["content"].native)["content"]["certificates"]
    told = [x509.load_der_x509_certificate(c.chosen.dump()) for c in bag]
    assert told == [x509.load_pem_x509_certificate((s.state / "ca/issuing-2.crt").read_bytes())]
    # the next CA issues: the RA is of that one, and what was encrypted to the one before is still read
    name, key = "next-1", rsa_key()
    octets = message(PKCS_REQ, seal(request(key, name, token(s, name)), door.ra), key, self_signed(key, name))
    done = s.run("rollover", "next")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: Scep(s).cacert()[0] != door.ra, 20)
    new = Scep(s).cacert()
    assert new[0].issuer == told[0].subject
    got = Reply(*door.http("POST", "?operation=PKIOperation", octets), ra=door.ra, key=key)
    assert got.status == SUCCESS and got.leaf.issuer == told[0].subject
    s.stop()
