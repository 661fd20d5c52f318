"""A client that stalls in its hello until a line comes in, and asks then: stall.py PORT PATH, behind tls.py."""

import socket
import sys

client = Client()
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.sendall(client.hello[:60])
print("stalls", flush=True)
sys.stdin.readline()
connection.sendall(client.hello[60:])
client.call(connection, client.tls.do_handshake)
BODY = b'{"model":"atlas-s","max_tokens":9,"messages":[{"role":"user","content":"slowly"}]}'
head = "POST %s HTTP/1.1\r\nHost: api.example\r\nUser-Agent: stall\r\nAuthorization: Bearer sk-stall\r\n" % sys.argv[2]
client.call(connection, client.tls.write, (head + "Content-Length: %d\r\n\r\n" % len(BODY)).encode() + BODY)
answer = b""
# All of it: who goes before the server has said everything breaks its answer off.
while b"\r\n\r\n" not in answer:
    answer += client.call(connection, client.tls.read, 65536)
head, body = answer.split(b"\r\n\r\n", 1)
assert head.startswith(b"HTTP/1.1 200"), head
length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
while len(body) < length:
    body += client.call(connection, client.tls.read, 65536)
