"""A client whose hello comes in pieces: slow.py PORT PATH RECORD_BYTES WRITE_BYTES HELLO_BYTES. It is sent in records of so many
bytes, by writes of so many, each of which is on its way before the next; in one record it is so long at least, by names of protocols
that nobody speaks. Behind it, all is as with any client."""

import json
import socket
import struct
import sys
import time

port, path = int(sys.argv[1]), sys.argv[2]
record_bytes, write_bytes, hello_bytes = (int(number) for number in sys.argv[3:6])
names = ["http/1.1"]
hello = b""
while not hello or len(hello) < hello_bytes:
    if hello:
        # A name costs a byte more than it has, and has one at least.
        missing = hello_bytes - len(hello) - 1
        names.append("x" * (missing if missing <= 200 else min(200, missing - 2)))
    context.set_alpn_protocols(names)
    client = Client()
    hello = client.hello
assert not hello_bytes or len(hello) == hello_bytes, len(hello)
connection = socket.create_connection(("127.0.0.1", port))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

message = hello[5:]
records = b"".join(
    struct.pack("!BHH", 22, 0x0301, len(part)) + part
    for part in (message[at : at + record_bytes] for at in range(0, len(message), record_bytes))
)
for at in range(0, len(records), write_bytes):
    connection.sendall(records[at : at + write_bytes])
    time.sleep(0.005)
client.call(connection, client.tls.do_handshake)
body = json.dumps({"model": "atlas-s", "max_tokens": 3, "messages": [{"role": "user", "content": "slowly"}]})
head = "POST %s HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer sk-slow\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
client.call(connection, client.tls.write, (head % (path, len(body)) + body).encode())
answer = b""
while not answer.startswith(b"HTTP/1.1 200"):
    answer += client.call(connection, client.tls.read, 65536)
