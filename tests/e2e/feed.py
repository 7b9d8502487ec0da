"""A gateway's end of the revocation feed, as far as a test needs one (see src/ipc/feed.h)."""
import socket
import struct
import time

from conftest import PATIENCE

HELLO, RESET, REVOKED, SYNCED = 1, 2, 3, 4


class Feed:
    def __init__(self, path, last=0, hello=True):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.data, self.at = b"", 0
        if hello:
            self.hello(last)

    def hello(self, last=0):
        self.sock.sendall(struct.pack(">IHQ", 10, HELLO, last))

    def close(self):
        self.sock.close()

    def frame(self, seconds=5):
        """(type, payload); None when the other side has closed."""
        end = time.monotonic() + seconds * PATIENCE
        while len(self.data) - self.at < 4 or len(self.data) - self.at < 4 + struct.unpack_from(">I", self.data, self.at)[0]:
            self.sock.settimeout(max(end - time.monotonic(), 0.001))
            more = self.sock.recv(65536)
            if not more:
                return None
            self.data, self.at = self.data[self.at:] + more, 0
        n, kind = struct.unpack_from(">IH", self.data, self.at)
        payload = self.data[self.at + 6:self.at + 4 + n]
        self.at += 4 + n
        return kind, payload

    def until_synced(self, seconds=5):
        """The entries up to the next SYNCED: [(sequence, serial, reason)], its sequence, and whether it was all."""
        entries, reset = [], False
        while True:
            kind, payload = self.frame(seconds)
            if kind == RESET:
                entries, reset = [], True
            elif kind == REVOKED:
                n, = struct.unpack(">H", payload[40:42])
                entries.append((struct.unpack(">Q", payload[:8])[0], payload[42:42 + n].hex(), payload[50 + n]))
            else:
                return entries, struct.unpack(">Q", payload)[0], reset

    def wait_for(self, serial, seconds=5):
        """Waits until that serial is told; its reason."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            for _, told, reason in self.until_synced(max(end - time.monotonic(), 0.001))[0]:
                if told == serial:
                    return reason
