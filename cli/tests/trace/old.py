"""A client that keeps its connection: old.py PORT PATH... asks for the first path, prints a line, and asks for the next one each
time a line comes in."""

import http.client
import json
import ssl
import sys

context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=context)
body = json.dumps({"model": "atlas-o", "max_tokens": 3, "messages": [{"role": "user", "content": "as ever"}]})
for path in sys.argv[2:]:
    connection.request("POST", path, body, {"Authorization": "Bearer sk-old"})
    connection.getresponse().read()
    print(path, flush=True)
    sys.stdin.readline()
