"""What two readers could read in two ways, as octets: requests, chunked bodies, and answers of an upstream. Each with the section of
RFC 9112 (or 9110) that it turns on. docs/http-messages.md lists the rows; a test keeps the two alike.

A request here is refused and its connection closed before the upstream has an octet of it; a broken body ends a request whose head may
have gone, which then never completes; a broken answer is a 502, or, when its head has gone, an end that the client cannot take for whole."""
HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
BEHIND = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
CL5 = b"Content-Length: 5\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"

REQUESTS = {
    "2.2": {
        "bare LF in the head": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
        "bare LF at its end": b"GET / HTTP/1.1\r\nHost: localhost\n\n",
        "bare LF before a field": GET + b"X: a\nContent-Length: 5\r\n\r\nhello",
        "bare CR in a value": GET + b"X: a\rContent-Length: 5\r\n\r\n",
        "bare CR at the end of a line": GET + b"X: a\r\r\n\r\n",
        "CR CR LF at the end": GET + b"\r\r\n",
        "white space before the first field": b"GET / HTTP/1.1\r\n " + HOST + b"\r\n",
        "tab before the first field": b"GET / HTTP/1.1\r\n\t" + HOST + b"\r\n",
        "two empty lines before the request": b"\r\n\r\n" + GET + b"\r\n",
        "bare LF before the request": b"\n" + GET + b"\r\n",
        "space before the request": b" " + GET + b"\r\n",
    },
    "2.3": {
        "HTTP/0.9": b"GET /\r\n\r\n",
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
        "HTTP/1.10": b"GET / HTTP/1.10\r\n" + HOST + b"\r\n",
        "HTTP/01.1": b"GET / HTTP/01.1\r\n" + HOST + b"\r\n",
        "http in lower case": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    },
    "3": {
        "two spaces": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
        "tab in the request line": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
        "vertical tab in the request line": b"GET\x0b/ HTTP/1.1\r\n" + HOST + b"\r\n",
        "space behind the version": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
        "space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
        "no target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
        "method that is no token": b"G{T / HTTP/1.1\r\n" + HOST + b"\r\n",
        "request line of 9 KiB": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    },
    "3.2": {
        "fragment": b"GET /#x HTTP/1.1\r\n" + HOST + b"\r\n",
        "8-bit target": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        "NUL in the target": b"GET /\x00x HTTP/1.1\r\n" + HOST + b"\r\n",
        "no Host": b"GET / HTTP/1.1\r\n\r\n",
        "two Hosts": b"GET / HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n",
        "two equal Hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        "Host empty": b"GET / HTTP/1.1\r\nHost: \r\n\r\n",
        "Host with a comma": b"GET / HTTP/1.1\r\nHost: localhost,other\r\n\r\n",
        "Host with userinfo": b"GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n",
        "Host with a path": b"GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
        "Host folded": b"GET / HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n",
        "Host with space before the colon": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "target and Host differ": b"GET http://other/ HTTP/1.1\r\n" + HOST + b"\r\n",
        "target and Host differ by port": b"GET http://localhost:81/ HTTP/1.1\r\n" + HOST + b"\r\n",
        "absolute target and no Host": b"GET http://localhost/ HTTP/1.1\r\n\r\n",
        "absolute target with userinfo": b"GET http://localhost@other/ HTTP/1.1\r\n" + HOST + b"\r\n",
        "absolute target of another scheme": b"GET ftp://localhost/ HTTP/1.1\r\n" + HOST + b"\r\n",
        "target without a slash": b"GET x HTTP/1.1\r\n" + HOST + b"\r\n",
        "asterisk with GET": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
        "CONNECT": b"CONNECT localhost:22 HTTP/1.1\r\n" + HOST + b"\r\n",
        "CONNECT with a body": b"CONNECT localhost:22 HTTP/1.1\r\n" + HOST + CL5 + b"\r\nhello",
        "TRACE": b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n",
    },
    "5": {
        "empty field name": GET + b": x\r\n\r\n",
        "line without a colon": GET + b"X\r\n\r\n",
        "name with a space": GET + b"X Y: z\r\n\r\n",
        "name with brackets": GET + b"X(y): z\r\n\r\n",
        "NUL in a value": GET + b"X: a\x00b\r\n\r\n",
        "NUL in a name": GET + b"X\x00: b\r\n\r\n",
        "DEL in a value": GET + b"X: a\x7fb\r\n\r\n",
        "head of 40 KiB": GET + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 500) for i in range(80)) + b"\r\n",
        "150 fields": GET + b"X: y\r\n" * 150 + b"\r\n",
        "Connection that is no list of tokens": GET + b"Connection: a b\r\n\r\n",
    },
    "5.1": {
        "Content-Length with space before the colon": POST + b"Content-Length : 5\r\n\r\nhello",
        "Content-Length with tab before the colon": POST + b"Content-Length\t: 5\r\n\r\nhello",
        "Transfer-Encoding with space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + END,
    },
    "5.2": {
        "folded line": GET + b"X: a\r\n b\r\n\r\n",
        "folded by a tab": GET + b"X: a\r\n\tb\r\n\r\n",
        "folded, empty": GET + b"X: a\r\n \r\n\r\n",
        "Transfer-Encoding folded": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + END,
        "Content-Length folded": POST + b"Content-Length:\r\n 5\r\n\r\nhello",
    },
    "6.1": {
        "Transfer-Encoding identity": POST + b"Transfer-Encoding: identity\r\n\r\n" + BEHIND,
        "Transfer-Encoding empty": POST + b"Transfer-Encoding: \r\n\r\n" + BEHIND,
        "Transfer-Encoding xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + BEHIND,
        "Transfer-Encoding in quotes": POST + b"Transfer-Encoding: \"chunked\"\r\n\r\n" + END,
        "Transfer-Encoding with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n" + END,
        "Transfer-Encoding with a comma before": POST + b"Transfer-Encoding: ,chunked\r\n\r\n" + END,
        "Transfer-Encoding gzip": POST + b"Transfer-Encoding: gzip\r\n\r\nhello",
        "Transfer-Encoding gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END,
        "Transfer-Encoding chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + END,
        "Transfer-Encoding chunked, chunked": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + END,
        "Transfer-Encoding twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + END,
        "Transfer-Encoding twice, alike": POST + TE + TE + b"\r\n" + END,
        "Transfer-Encoding with vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + END,
        "Transfer-Encoding with NUL": POST + b"Transfer-Encoding: chunked\x00\r\n\r\n" + END,
        "Transfer-Encoding in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + TE + b"\r\n" + END,
        "Transfer-Encoding in HTTP/1.0, kept alive": b"POST / HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n" + TE + b"\r\n" + END,
        "Transfer-Encoding on a GET with a length": GET + TE + CL5 + b"\r\n" + END,
    },
    "6.2": {
        "two Content-Lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "two equal Content-Lengths": POST + CL5 + CL5 + b"\r\nhello",
        "two Content-Lengths, of other cases": POST + CL5 + b"CONTENT-LENGTH: 0\r\n\r\nhello",
        "Content-Length as a list": POST + b"Content-Length: 5, 5\r\n\r\nhello",
        "Content-Length as a list that differs": POST + b"Content-Length: 0, 5\r\n\r\nhello",
        "Content-Length with plus": POST + b"Content-Length: +5\r\n\r\nhello",
        "Content-Length negative": POST + b"Content-Length: -5\r\n\r\nhello",
        "Content-Length in hex": POST + b"Content-Length: 0x5\r\n\r\nhello",
        "Content-Length empty": POST + b"Content-Length: \r\n\r\n" + BEHIND,
        "Content-Length with a space in it": POST + b"Content-Length: 5 5\r\n\r\nhello",
        "Content-Length with a fraction": POST + b"Content-Length: 5.0\r\n\r\nhello",
        "Content-Length with an underscore": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
        "Content-Length in quotes": POST + b"Content-Length: \"5\"\r\n\r\nhello",
        "Content-Length with a semicolon": POST + b"Content-Length: 5;0\r\n\r\nhello",
        "Content-Length with vertical tab": POST + b"Content-Length: \x0b5\r\n\r\nhello",
        "Content-Length over 64 bits": POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
        "Content-Length of 30 zeros and 5": POST + b"Content-Length: " + b"0" * 30 + b"5\r\n\r\nhello",
        "Content-Length in other digits": POST + "Content-Length: ５\r\n\r\nhello".encode(),
    },
    "6.3": {
        "CL.TE": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        "TE.CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + BEHIND,
        "CL.0 and TE": POST + b"Content-Length: 0\r\n" + TE + b"\r\n" + END,
        "TE and CL in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + CL5 + TE + b"\r\n" + END,
        "TE.TE, one of them obscured": POST + TE + b"Transfer-Encoding: x\r\n\r\n" + END,
        "CL and an obscured TE": POST + CL5 + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + END,
        "TE named by Connection, and CL": POST + b"Connection: Transfer-Encoding\r\n" + CL5 + TE + b"\r\n" + END,
    },
    "9110 10.1.1": {
        "unknown expectation": POST + b"Expect: 200-maybe\r\nContent-Length: 1\r\n\r\nx",
        "expectation with a list": POST + b"Expect: 100-continue, x\r\nContent-Length: 1\r\n\r\nx",
    },
}

# After "Transfer-Encoding: chunked"; section 7.1.
CHUNKS = {
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "underscore in the size": b"0_5\r\nhello\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "space before the extension": b"5 ;a\r\nhello\r\n0\r\n\r\n",
    "a letter that is no digit": b"5g\r\nhello\r\n0\r\n\r\n",
    "NUL in the size": b"5\x00\r\nhello\r\n0\r\n\r\n",
    "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR after the size": b"5\rhello\r\n0\r\n\r\n",
    "bare LF in an extension": b"5;a\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "long extension": b"5;" + b"x" * 400 + b"\r\nhello\r\n0\r\n\r\n",
    "size over 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size of 40 zeros and 5": b"0" * 40 + b"5\r\nhello\r\n0\r\n\r\n",
    "data longer than its size": b"4\r\nhello\r\n0\r\n\r\n",
    "data shorter than its size": b"6\r\nhello\r\n0\r\n\r\n",
    "bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "nothing after the data": b"5\r\nhello0\r\n\r\n",
    "bare LF at the end": b"5\r\nhello\r\n0\n\n",
    "bare LF behind the last chunk": b"5\r\nhello\r\n0\r\n\n",
    "trailer without name": b"0\r\n: x\r\n\r\n",
    "trailer with space before the colon": b"0\r\nX : y\r\n\r\n",
    "trailer folded": b"0\r\nX: a\r\n b\r\n\r\n",
    "trailer with NUL": b"0\r\nX: a\x00\r\n\r\n",
    "trailers without end": b"0\r\n" + b"X: y\r\n" * 2000,
}

OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "2.3": {
        "HTTP/0.9": b"hello",
        "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "empty line before": b"\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
    },
    "4": {
        "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi",
        "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
        "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nhi",
        "status 000": b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nhi",
        "NUL in the phrase": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nhi",
        "bare CR in the phrase": b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nhi",
    },
    "5": {
        "folded line": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
        "space before the colon": OK + b"Content-Length : 2\r\n\r\nhi",
        "NUL in a value": OK + b"X: \x00\r\nContent-Length: 2\r\n\r\nhi",
        "empty field name": OK + b": x\r\nContent-Length: 2\r\n\r\nhi",
        "bare CR in a value": OK + b"X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nhi",
        "head of 40 KiB": OK + b"X: " + b"a" * 40000 + b"\r\n\r\n",
        "150 fields": OK + b"X: y\r\n" * 150 + b"Content-Length: 2\r\n\r\nhi",
    },
    "6.1": {
        "Transfer-Encoding gzip": OK + b"Transfer-Encoding: gzip\r\n\r\nhi",
        "Transfer-Encoding xchunked": OK + b"Transfer-Encoding: xchunked\r\n\r\nhi",
        "Transfer-Encoding twice": OK + TE + TE + b"\r\n" + END,
        "Transfer-Encoding in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + TE + b"\r\n" + END,
    },
    "6.2": {
        "two Content-Lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
        "two equal Content-Lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        "Content-Length as a list": OK + b"Content-Length: 2, 2\r\n\r\nhi",
        "Content-Length negative": OK + b"Content-Length: -2\r\n\r\nhi",
        "Content-Length over 64 bits": OK + b"Content-Length: 18446744073709551618\r\n\r\nhi",
    },
    "6.3": {
        "CL and TE": OK + b"Content-Length: 2\r\n" + TE + b"\r\n" + END,
    },
    "7.8": {
        "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
    },
}
# After an answer's head with "Transfer-Encoding: chunked", which has gone to the client by then, or after a length.
ANSWER_BODIES = {
    "7.1": {name: OK + TE + b"\r\n" + CHUNKS[name] for name in
            ("no size", "0x", "negative", "bare LF after the size", "size over 64 bits", "data longer than its size", "bare LF after the data",
             "trailer without name")},
    "8": {
        "cut within a chunk": OK + TE + b"\r\n5\r\nhel",
        "cut before the last chunk": OK + TE + b"\r\n5\r\nhello\r\n",
        "cut before its length": OK + b"Content-Length: 9\r\n\r\nhello",
    },
}


def flat(table):
    return {name: octets for rows in table.values() for name, octets in rows.items()}
