#!/usr/bin/python3
"""A SignedData written anew as BER, as some devices send it: indefinite lengths down to its content, which is in pieces.

usage: ber.py FROM TO"""
import sys


def parse(b, at):
    """(tag octet, contents, end) of the element at `at`; short tags only."""
    tag, n, at = b[at], b[at + 1], at + 2
    if n & 0x80:
        k = n & 0x7F
        n, at = int.from_bytes(b[at:at + k], "big"), at + k
    return tag, b[at:at + n], at + n


def length(n):
    if n < 128:
        return bytes([n])
    k = (n.bit_length() + 7) // 8
    return bytes([0x80 | k]) + n.to_bytes(k, "big")


def ber(b, depth=0):
    out, at = b"", 0
    while at < len(b):
        tag, inner, at = parse(b, at)
        if tag & 0x20 and (depth < 3 or (depth == 3 and tag == 0x30) or depth == 4):  # not certificates and signerInfos
            out += bytes([tag, 0x80]) + ber(inner, depth + 1) + b"\0\0"
        elif tag == 0x04 and depth == 5 and len(inner) > 100:  # the content
            pieces = [inner[i:i + 100] for i in range(0, len(inner), 100)]
            out += b"\x24\x80" + b"".join(b"\x04" + length(len(p)) + p for p in pieces) + b"\0\0"
        else:
            out += bytes([tag]) + length(len(inner)) + inner
    return out


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as f, open(sys.argv[2], "wb") as to:
        to.write(ber(f.read()))
