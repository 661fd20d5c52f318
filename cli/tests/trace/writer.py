"""Writes 1 KiB through TLS to itself, over and over, when it is told to: the least ns for each write of 20 rounds."""

import ssl
import sys
import time

WRITES = 5000
ends = []
for is_server in (True, False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    if is_server:
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    else:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends.append((context.wrap_bio(incoming, outgoing, server_side=is_server), incoming, outgoing))
(server, to_server, from_server), (client, to_client, from_client) = ends
for _ in range(4):
    for end in (client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
        to_server.write(from_client.read())
        to_client.write(from_server.read())
sys.stdin.readline()
part = b"x" * 1024
least = None
for _ in range(20):
    began = time.perf_counter_ns()
    for _ in range(WRITES):
        server.write(part)
    took = (time.perf_counter_ns() - began) // WRITES
    least = took if least is None else min(least, took)
    from_server.read()
    # What was heard is taken meanwhile.
    time.sleep(0.2)
print(least, flush=True)
