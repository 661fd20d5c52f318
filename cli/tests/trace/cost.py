"""Writes and reads 1 KiB through TLS to itself, over and over, as often as it is told to by a line: ns of a write and of a read."""

import ssl
import sys
import time

CALLS = 2000
ROUNDS = 5
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
part = b"x" * 1024
for _ in sys.stdin:
    writes, reads = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        for _ in range(CALLS):
            server.write(part)
        writes.append((time.perf_counter_ns() - began) // CALLS)
        to_client.write(from_server.read())
        began = time.perf_counter_ns()
        for _ in range(CALLS):
            client.read(1024)
        reads.append((time.perf_counter_ns() - began) // CALLS)
        # What was heard is taken meanwhile.
        time.sleep(0.1)
    print(min(writes), min(reads), flush=True)
