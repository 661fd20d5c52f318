"""Stops one thread of a process, and none of its others, until standard input ends: freeze.py THREAD"""

import ctypes
import os
import sys

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WAIT_FOR_THREADS_TOO = 0x40000000  # __WALL

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long

thread = int(sys.argv[1])
for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
    if libc.ptrace(request, thread, None, None) == -1:
        sys.exit(f"thread {thread} cannot be stopped: {os.strerror(ctypes.get_errno())}")
os.waitpid(thread, WAIT_FOR_THREADS_TOO)
print("frozen", flush=True)
sys.stdin.read()
# The kernel lets it go when this ends.
