"""Two clients with one hello: twin.py PORT PATH.

The first, from 127.0.2.1, has sent most of its hello when the second, from 127.0.2.2, sends a copy of all of it; then the first goes on and
asks. When it was answered, a third, from 127.0.2.3, sends the copy again, and the first asks once more. With "late" the second does not come.
With "framed" it is the second whose hello is the first one's, in records too short for their random, and who asks."""

import json
import socket
import sys
import time

port, path = int(sys.argv[1]), sys.argv[2]
asking = Client()
hello = asking.hello


def client(last):
    return socket.create_connection(("127.0.0.1", port), source_address=("127.0.2.%d" % last, 0))


def copy(last):
    """Another client that says the same, and is answered by the server."""
    other = client(last)
    other.sendall(hello)
    assert other.recv(65536)
    return other


def ask(number):
    body = json.dumps({"model": "atlas-t", "max_tokens": 3, "messages": [{"role": "user", "content": "whose?"}]})
    head = "POST %s/%d HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer sk-twin\r\ncontent-length: %d\r\n\r\n"
    asking.call(first, asking.tls.write, (head % (path, number, len(body)) + body).encode())
    answer = b""
    while not answer.endswith(b"xxx\"}"):
        answer += asking.call(first, asking.tls.read, 65536)


how = sys.argv[3] if len(sys.argv) > 3 else ""
first = client(2 if how == "framed" else 1)
if how == "framed":
    others = [client(1)]
    others[0].sendall(hello[:100])
    time.sleep(0.2)
    message = hello[5:]
    parts = [message[at : at + 20] for at in range(0, len(message), 20)]
    first.sendall(b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts))
elif how != "late":
    first.sendall(hello[:100])
    time.sleep(0.2)
    others = [copy(2)]
    first.sendall(hello[100:])
else:
    first.sendall(hello)
    others = []
asking.call(first, asking.tls.do_handshake)
ask(1)
others.append(copy(3))
ask(2)
