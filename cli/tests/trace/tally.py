"""Counts what a server reads and writes through TLS, and writes it down in the file that TALLY names.

Put before a server: every connection that an `SSLContext` wraps is counted."""

import json as _json
import os as _os
import ssl as _ssl
import threading as _threading

_COUNTS = {"received": 0, "received_bytes": 0, "sent": 0, "sent_bytes": 0}
_LOCK = _threading.Lock()


def _count(way, length):
    if length <= 0:
        return
    with _LOCK:
        _COUNTS[way] += 1
        _COUNTS[way + "_bytes"] += length
        with open(_os.environ["TALLY"] + ".new", "w", encoding="utf-8") as file:
            _json.dump(_COUNTS, file)
        _os.replace(_os.environ["TALLY"] + ".new", _os.environ["TALLY"])


class _Counted(_ssl.SSLSocket):
    def read(self, length=1024, buffer=None):
        data = super().read(length, buffer)
        _count("received", data if buffer is not None else len(data))
        return data

    def send(self, data, flags=0):
        length = super().send(data, flags)
        _count("sent", length)
        return length


_ssl.SSLContext.sslsocket_class = _Counted
