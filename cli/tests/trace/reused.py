"""A server that has one SSL for client after client, as those do that keep them: reused.py CERTIFICATE KEY DIRECTORY prints its port,
and begins when a line comes in.
Its first client is let go when the handshake fails; the connection of the second is closed unread, and a file is read by the same
descriptor; the others are served."""

import ctypes
import os
import socket
import sys

tls = ctypes.CDLL("libssl.so.3")


def function(name, result, *arguments):
    """One of OpenSSL's functions."""
    found = getattr(tls, name)
    found.restype, found.argtypes = result, arguments
    return found


pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
method = function("TLS_server_method", pointer)()
context = function("SSL_CTX_new", pointer, pointer)(method)
assert function("SSL_CTX_use_certificate_file", number, pointer, text, number)(context, sys.argv[1].encode(), 1) == 1
assert function("SSL_CTX_use_PrivateKey_file", number, pointer, text, number)(context, sys.argv[2].encode(), 1) == 1
ssl = function("SSL_new", pointer, pointer)(context)
clear = function("SSL_clear", number, pointer)
set_fd = function("SSL_set_fd", number, pointer, number)
accept = function("SSL_accept", number, pointer)
read = function("SSL_read", number, pointer, pointer, number)
write = function("SSL_write", number, pointer, text, number)

path = os.path.join(sys.argv[3], "read")
with open(path, "w", encoding="utf-8") as file:
    file.write("what is nobody's business")

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
buffer = ctypes.create_string_buffer(65536)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
# An accept that has begun before it is traced is not heard of.
sys.stdin.readline()
count = 0
while True:
    client, _ = listener.accept()
    descriptor = client.fileno()
    count += 1
    assert clear(ssl) == 1 and set_fd(ssl, descriptor) == 1
    if count == 2:
        client.close()
        again = os.open(path, os.O_RDONLY)
        assert again == descriptor and os.read(again, 100)
        os.close(again)
        print("closed", flush=True)
        continue
    if accept(ssl) == 1:
        heard = b""
        while not heard.endswith(b"}"):
            length = read(ssl, buffer, len(buffer))
            assert length > 0
            heard += buffer.raw[:length]
        assert write(ssl, ANSWER, len(ANSWER)) == len(ANSWER)
    else:
        print("gone", flush=True)
    client.close()
