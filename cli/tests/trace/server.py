"""A model API over TLS, or without it for a proxy in front, that writes down what it was asked and what it answered.

server.py LOG [CERTIFICATE KEY]: prints its port. The line that it writes is one of the format `weir_rich`."""

import http.server
import json
import ssl
import sys
import time

LOG = open(sys.argv[1], "a", encoding="utf-8")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The head and the body in one write each, as servers do.
    wbufsize = -1

    def body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def do_POST(self):
        began = time.time()
        body = self.body()
        asked = json.loads(body)
        words = len(asked["messages"][-1]["content"])
        usage = {"prompt_tokens": words, "completion_tokens": asked["max_tokens"]}
        said = {"model": asked["model"], "choices": [{"finish_reason": "length", "index": 0}], "usage": usage}
        if asked.get("stream"):
            pieces = [{"model": asked["model"], "choices": [{"delta": {"content": "word "}}]} for _ in range(words % 7)]
            answer = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in [*pieces, said])
            answer += b"data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            answer = json.dumps({**said, "padding": "x" * (words * 977 % 40000)}).encode()
            kind = "application/json"
        status = 429 if "limited" in self.path else 200
        self.send_response(status)
        self.send_header("content-type", kind)
        if asked.get("stream") or "chunked" in self.path:
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for at in range(0, len(answer), 1000):
                part = answer[at : at + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        self.wfile.flush()
        line = {
            "account": self.headers.get("authorization") or self.headers.get("x-api-key"),
            "time": time.time(),
            "request_time": time.time() - began,
            "ip": self.headers.get("x-forwarded-for") or self.client_address[0],
            "user_agent": self.headers.get("user-agent"),
            "uri": self.path,
            "request_body": body.decode(),
            "status": status,
            "bytes_sent": len(answer),
            "header_order": ",".join(self.headers.keys()),
            "finish_reason": "length",
            **usage,
        }
        LOG.write(json.dumps(line) + "\n")
        LOG.flush()

    def log_message(self, *arguments):
        pass


# Five, as it is by itself, are too few of a proxy's: who finds no place waits, and the proxy gives up after a minute.
http.server.ThreadingHTTPServer.request_queue_size = 1024
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
