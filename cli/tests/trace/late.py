"""A server in which a read of a connection has not returned when another thread closes it, and the next one has its descriptor: late.py
CERTIFICATE KEY prints its port, and begins when a line comes in."""

import os
import socket
import ssl
import sys
import threading
import time

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
# An accept that has begun before it is traced is not heard of.
sys.stdin.readline()
descriptor = listener.accept()[0].detach()
reader = threading.Thread(target=lambda: os.read(descriptor, 65536))
reader.start()


def is_reading():
    with open("/proc/self/task/%d/syscall" % reader.native_id, encoding="ascii") as file:
        return file.read().split()[1:2] == [hex(descriptor)]


while not is_reading():
    time.sleep(0.01)
os.close(descriptor)
client, _ = listener.accept()
assert client.fileno() == descriptor
connection = context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
print("accepted", flush=True)
reader.join()
connection.do_handshake()
heard = b""
while not heard.endswith(b"}"):
    heard += connection.read(65536)
connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
connection.close()
sys.stdin.readline()
