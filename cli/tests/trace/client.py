"""Asks the model API at PORT: client.py PORT FIRST COUNT. Requests of a connection follow each other."""

import http.client
import json
import ssl
import sys

port, first, count = (int(argument) for argument in sys.argv[1:4])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = None
for number in range(first, first + count):
    if number % 5 == 0 or connection is None:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    kind = ["plain", "chunked", "limited"][number % 3]
    prompt = "List %d rivers of the north, as JSON. " % number + "river " * (number % 900)
    body = json.dumps({
        "model": "atlas-%d" % (number % 4), "max_tokens": number + 1, "temperature": 0.25, "logprobs": number % 2 == 0,
        "stream": number % 4 == 1,
        "messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": prompt}],
    }).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "client/%d" % (number % 3)}
    if number % 2:
        headers["Authorization"] = "Bearer sk-%d" % (number % 6)
    else:
        headers["x-api-key"] = "sk-%d" % (number % 6)
    path = "/%s/%d/v1/chat/completions" % (kind, number)
    if number % 7 == 3:
        pieces = (body[at : at + 700] for at in range(0, len(body), 700))
        connection.request("POST", path, pieces, headers, encode_chunked=True)
    else:
        connection.request("POST", path, body, headers)
    connection.getresponse().read()
