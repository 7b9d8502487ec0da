"""What several tests do with clients."""
import re
import ssl

from conftest import run

REQUEST = "GET /?format=json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def s_client(system, *more, crt=None, key=None, cert=True, request=REQUEST):
    """openssl s_client: one request over one connection. Its output, both streams."""
    args = ["openssl", "s_client", "-connect", f"127.0.0.1:{system.https}", "-servername", "localhost",
            "-CAfile", system.ca, "-verify_return_error", "-ign_eof"]
    if cert:
        crt = crt or system.crt
        args += ["-cert", crt, "-cert_chain", crt, "-key", key or system.key]
    done = run(*args, *more, input=request, timeout=20)
    return done.stdout + done.stderr


def status_of(text):
    m = re.search(r"HTTP/1\.1 (\d{3})", text)
    return int(m.group(1)) if m else 0


def attempt(system, crt=None, key=None, version=None):
    """One connection and request by Python's ssl: ("ok", status) or ("refused", the alert's name)."""
    try:
        with system.connect(crt, key, version) as s:
            s.sendall(REQUEST.encode())
            head = b""
            while b"\r\n\r\n" not in head:
                got = s.recv(4096)
                if not got:
                    return "refused", "closed"
                head += got
            return "ok", status_of(head.decode("latin1"))
    except ssl.SSLError as e:
        return "refused", e.reason or str(e)
    except (ConnectionError, BrokenPipeError) as e:
        return "refused", type(e).__name__


def headers_told(answer_json, wanted):
    """All values that the upstream was told under that header name."""
    return [h["value"] for h in answer_json["headers"] if h["name"].lower() == wanted.lower()]
