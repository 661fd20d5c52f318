"""Many clients at once, each with an address, an account and a program of its own: crowd.py PORT CLIENTS REQUESTS.

Client N comes from 127.0.1.N, and so does what it says its account is. Its ciphers are its own, so that it is known by its hello. Those with an
even number ask all over one connection, the others over one for each request. The hellos of all first connections come in three pieces,
none of the next before all of the one before."""

import asyncio
import json
import socket
import ssl
import sys

PORT, CLIENTS, REQUESTS = (int(argument) for argument in sys.argv[1:4])
CIPHERS = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-SHA",
]


class Connection:
    def __init__(self, reader, writer, context):
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="api.example")
        self.held = b""

    async def call(self, what, *arguments):
        """An operation of TLS, with what has to be sent and received for it."""
        while True:
            try:
                result = what(*arguments)
            except ssl.SSLWantReadError:
                self.writer.write(self.outgoing.read())
                received = await self.reader.read(65536)
                assert received, "the server closed the connection"
                self.incoming.write(received)
                continue
            self.writer.write(self.outgoing.read())
            await self.writer.drain()
            return result

    async def greet(self, turns):
        """Says hello, in pieces where there are turns to wait for."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            hello = self.outgoing.read()
        for turn, piece in zip(turns, (hello[:7], hello[7:60])):
            self.writer.write(piece)
            await self.writer.drain()
            await turn.wait()
            # Each is read by itself.
            await asyncio.sleep(0.05)
        self.writer.write(hello[60:] if turns else hello)
        await self.call(self.tls.do_handshake)

    async def until(self, end):
        while end not in self.held:
            self.held += await self.call(self.tls.read, 65536)
        line, self.held = self.held.split(end, 1)
        return line

    async def exactly(self, length):
        while len(self.held) < length:
            self.held += await self.call(self.tls.read, 65536)
        self.held = self.held[length:]

    async def answer(self):
        """Hears an answer to its end."""
        head = (await self.until(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" not in head:
            await self.exactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            return
        while size := int(await self.until(b"\r\n"), 16):
            await self.exactly(size + 2)
        await self.until(b"\r\n")


def context_of(number):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    own = [cipher for bit, cipher in enumerate(CIPHERS) if number >> bit & 1]
    context.set_ciphers(":".join(["ECDHE-RSA-AES128-GCM-SHA256", *own]))
    if number % 5 == 0:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def request_of(number, turn):
    kind = ["plain", "chunked", "limited"][(number + turn) % 3]
    prompt = "List %d rivers of the north, as JSON. " % turn + "river " * ((number * 37 + turn * 211) % 900)
    body = json.dumps({
        "model": "atlas-%d" % (number % 4), "max_tokens": number * 10 + turn, "temperature": 0.25,
        "logprobs": turn % 2 == 0, "stream": (number + turn) % 4 == 1,
        "messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": prompt}],
    }).encode()
    credential = "Authorization: Bearer sk-%d" if turn % 2 else "x-api-key: sk-%d"
    head = "POST /%s/%d-%d/v1/chat/completions HTTP/1.1\r\nHost: api.example\r\n" % (kind, number, turn)
    head += "Content-Type: application/json\r\nUser-Agent: crowd/%d\r\n" % number + credential % number + "\r\n"
    if turn % 3 == 2:
        pieces = (body[at : at + 700] for at in range(0, len(body), 700))
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        return (head + "Transfer-Encoding: chunked\r\n\r\n").encode(), body
    return (head + "Content-Length: %d\r\n\r\n" % len(body)).encode(), body


async def connected(number, turn):
    """A connection from the client's address, and from a port that no other one has: captures tell them apart by it."""
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    plug.bind(("127.0.1.%d" % number, 61_000 + number * REQUESTS + turn))
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", PORT))
    return await asyncio.open_connection(sock=plug)


async def ask(number, turns):
    connection, context = None, context_of(number)
    for turn in range(REQUESTS):
        if connection is None:
            connection = Connection(*await connected(number, turn), context)
            await connection.greet(turns if turn == 0 else [])
        for part in request_of(number, turn):
            await connection.call(connection.tls.write, part)
        await connection.answer()
        if number % 2:
            connection.writer.close()
            connection = None


async def main():
    turns = [asyncio.Barrier(CLIENTS) for _ in range(2)]
    await asyncio.gather(*(ask(number, turns) for number in range(1, CLIENTS + 1)))


asyncio.run(main())
