"""Prints what a read costs this process, in nanoseconds: the least of 20 rounds, once a line came in."""

import os
import ssl  # What is traced is who has it.
import sys
import time

assert ssl.OPENSSL_VERSION
descriptor = os.open("/dev/zero", os.O_RDONLY)
sys.stdin.readline()
rounds = []
for _ in range(20):
    began = time.perf_counter_ns()
    for _ in range(50_000):
        os.read(descriptor, 1)
    rounds.append((time.perf_counter_ns() - began) / 50_000)
print(round(min(rounds)), flush=True)
