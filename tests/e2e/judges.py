"""Validators that we did not write, asked the same question as we: is the leaf good for a TLS server (or client), at AT?"""
import datetime as dt
import glob

from conftest import BUILD, SANITIZED, run

AT = dt.datetime(2024, 6, 1, tzinfo=dt.timezone.utc)
OIDS = {"server": "1.3.6.1.5.5.7.3.1", "client": "1.3.6.1.5.5.7.3.2"}
MBEDTLS = BUILD / "tests/peers/mbedtls-verify"


FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), "")


def _faked(*args):
    """The library alone: what the wrapper shares between processes fails now and then when two of them start at once."""
    return run(*args, env={"TZ": "UTC", "LD_PRELOAD": FAKETIME, "FAKETIME": AT.strftime("@%Y-%m-%d %H:%M:%S")})


def _said(done, yes, no):
    """Its verdict by its own words: a judge that failed to answer has none."""
    text = done.stdout + done.stderr
    assert any(w in text for w in (*yes, *no)), f"no verdict: {done.args}: {done.returncode}: {text[-500:]}"
    return done.returncode == 0, text


def openssl(files, purpose):
    done = run("openssl", "verify", "-x509_strict", "-auth_level", "2", "-purpose", f"ssl{purpose}", "-attime", int(AT.timestamp()),
               "-CAfile", files.trust, "-no-CApath", "-no-CAstore", *(["-untrusted", files.chain] if files.has_chain else []), files.leaf)
    return _said(done, [": OK"], ["verification failed", "Unable to load"])


def gnutls(files, purpose):
    done = _faked("certtool", "--verify", "--load-ca-certificate", files.trust, "--infile", files.bundle, "--verify-purpose", OIDS[purpose],
                  "--verify-profile", "medium")
    return _said(done, ["Output: Verified"], ["Not verified", "error", "gnutls_"])


def mbedtls(files, purpose):
    done = _faked(MBEDTLS, purpose, "-", files.trust, files.bundle)
    return _said(done, ["accepted"], ["!", "usage", "does not parse", "The "])


JUDGES = {"openssl": openssl, "gnutls": gnutls, "mbedtls": mbedtls}


class Files:
    """A question on disk."""

    def __init__(self, folder, leaf, trust, chain):
        self.trust, self.chain, self.leaf, self.bundle = (folder / n for n in ("trust.pem", "chain.pem", "leaf.pem", "bundle.pem"))
        self.trust.write_text("".join(c.pem for c in trust))
        self.chain.write_text("".join(c.pem for c in chain))
        self.leaf.write_text(leaf.pem)
        self.bundle.write_text(leaf.pem + "".join(c.pem for c in chain))
        self.has_chain = bool(chain)


def why_not(judge):
    """Why that judge cannot be asked here, or None."""
    if judge == "mbedtls" and not MBEDTLS.exists():
        return "libmbedtls-dev was not there when this was built"
    return None if not SANITIZED else "the judges are the same in every build; asked in the plain one"
