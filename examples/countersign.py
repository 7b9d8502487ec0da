"""The library from Python, by ctypes: as much as a client needs.

    with Client(trust=["ca.pem"], certificate="pump-17.crt", key="pump-17.key").connect("gw.example:8443") as c:
        c.sendall(b"hello\\n")
        print(c.recv(4096))

As a program: countersign.py HOST:PORT NAME CA.pem CERT.pem KEY.pem LINE
"""
import ctypes
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p

OK, AGAIN = 0, 1


class Err(ctypes.Structure):
    _fields_ = [("status", c_int), ("reason", c_int), ("detail", ctypes.c_char * 512)]


class ReasonInfo(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("alert", c_int), ("http", c_int), ("says", c_char_p), ("advice", c_char_p),
                ("source", c_char_p)]


lib = ctypes.CDLL(os.environ.get("COUNTERSIGN_LIBRARY", "libcountersign.so.0"))
for name, result, *arguments in (
        ("cs_reason_of", POINTER(ReasonInfo), c_int),
        ("cs_trust_new", c_int, POINTER(c_void_p), POINTER(Err)),
        ("cs_trust_add_file", c_int, c_void_p, c_char_p, POINTER(Err)),
        ("cs_trust_free", None, c_void_p),
        ("cs_credential_read", c_int, c_char_p, c_char_p, POINTER(c_void_p), POINTER(Err)),
        ("cs_credential_free", None, c_void_p),
        ("cs_client_new", c_int, c_void_p, c_void_p, c_char_p, POINTER(c_void_p), POINTER(Err)),
        ("cs_client_free", None, c_void_p),
        ("cs_connect", c_int, c_void_p, c_char_p, c_char_p, c_uint, POINTER(c_void_p), POINTER(Err)),
        ("cs_read", c_int, c_void_p, c_char_p, c_size_t, POINTER(c_size_t), POINTER(Err)),
        ("cs_write", c_int, c_void_p, c_char_p, c_size_t, POINTER(c_size_t), POINTER(Err)),
        ("cs_connection_end", c_int, c_void_p, POINTER(Err)),
        ("cs_connection_free", None, c_void_p),
        ("cs_connection_peer", c_void_p, c_void_p),
        ("cs_certificate_subject", c_char_p, c_void_p)):
    getattr(lib, name).restype, getattr(lib, name).argtypes = result, arguments


class Refused(Exception):
    """reason is the stable name, such as "certificate-expired"."""

    def __init__(self, err):
        self.reason = lib.cs_reason_of(err.reason).contents.name.decode()
        super().__init__(f"{self.reason}: {err.detail.decode()}")


def call(name, *arguments):
    err = Err()
    if getattr(lib, name)(*arguments, byref(err)) != OK:
        raise Refused(err)


class Client:
    def __init__(self, trust, certificate=None, key=None, alpn=None):
        self.handle, anchors, who = c_void_p(), c_void_p(), c_void_p()
        try:
            call("cs_trust_new", byref(anchors))
            for path in trust:
                call("cs_trust_add_file", anchors, os.fsencode(path))
            if certificate:
                call("cs_credential_read", os.fsencode(certificate), os.fsencode(key), byref(who))
            call("cs_client_new", anchors, who, alpn and alpn.encode(), byref(self.handle))
        finally:
            lib.cs_trust_free(anchors)
            lib.cs_credential_free(who)

    def __del__(self):
        lib.cs_client_free(self.handle)

    def connect(self, address, name=None, timeout=5000):
        return Connection(self, address, name, timeout)


class Connection:
    def __init__(self, client, address, name, timeout):
        self.handle = c_void_p()
        call("cs_connect", client.handle, address.encode(), name and name.encode(), timeout, byref(self.handle))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        lib.cs_connection_free(self.handle)
        self.handle = c_void_p()

    @property
    def peer(self):
        return lib.cs_certificate_subject(lib.cs_connection_peer(self.handle)).decode()

    def sendall(self, data):
        call("cs_write", self.handle, data, len(data), byref(c_size_t()))

    def recv(self, most):
        piece, n = ctypes.create_string_buffer(most), c_size_t()
        call("cs_read", self.handle, piece, most, byref(n))
        return piece.raw[:n.value]


if __name__ == "__main__":
    at, host, ca, crt, pem, line = sys.argv[1:]
    try:
        with Client([ca], crt, pem).connect(at, host) as c:
            c.sendall(line.encode() + b"\n")
            print(c.peer, "says", c.recv(4096).decode().rstrip())
    except Refused as e:
        sys.exit(f"{e}")
