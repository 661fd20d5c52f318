"""A model API by asyncio, whose TLS takes its bytes from memory: one thread serves all connections, each in the middle of the messages
of others. It writes down what it was asked and what it answered.

loop.py LOG PORTS CERTIFICATE KEY: prints its port. The lines in LOG are of the format `weir_rich`; those in PORTS are the port of a
client and a path."""

import asyncio
import json
import ssl
import sys
import time

LOG, PORTS = (open(path, "a", encoding="utf-8") for path in sys.argv[1:3])


async def body_of(reader, headers):
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


def answer_to(asked):
    words = len(asked["messages"][-1]["content"])
    usage = {"prompt_tokens": words, "completion_tokens": asked["max_tokens"]}
    said = {"model": asked["model"], "choices": [{"finish_reason": "length", "index": 0}], "usage": usage}
    if not asked.get("stream"):
        return json.dumps({**said, "padding": "x" * (words * 977 % 40000)}).encode(), usage
    pieces = [{"model": asked["model"], "choices": [{"delta": {"content": "word "}}]} for _ in range(words % 7)]
    events = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in [*pieces, said])
    return events + b"data: [DONE]\n\n", usage


async def serve(reader, writer):
    client, client_port = writer.get_extra_info("peername")
    try:
        while line := await reader.readline():
            began = time.time()
            path = line.split(b" ")[1].decode()
            names, headers = [], {}
            while (line := await reader.readline()) != b"\r\n":
                name, value = line.decode().rstrip("\r\n").split(": ", 1)
                names.append(name)
                headers[name.lower()] = value
            body = await body_of(reader, headers)
            asked = json.loads(body)
            answer, usage = answer_to(asked)
            status = 429 if "limited" in path else 200
            kind = "text/event-stream" if asked.get("stream") else "application/json"
            head = "HTTP/1.1 %d Said\r\ncontent-type: %s\r\n" % (status, kind)
            is_chunked = asked.get("stream") or "chunked" in path
            if is_chunked:
                writer.write(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
            else:
                writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(answer))
            for at in range(0, len(answer), 1000):
                part = answer[at : at + 1000]
                # Others are served here.
                await asyncio.sleep(0)
                writer.write(b"%x\r\n%s\r\n" % (len(part), part) if is_chunked else part)
            if is_chunked:
                writer.write(b"0\r\n\r\n")
            await writer.drain()
            line = {
                "account": headers.get("authorization") or headers.get("x-api-key"),
                "time": time.time(),
                "request_time": time.time() - began,
                "ip": client,
                "user_agent": headers.get("user-agent"),
                "uri": path,
                "request_body": body.decode(),
                "status": status,
                "bytes_sent": len(answer),
                "header_order": ",".join(names),
                "finish_reason": "length",
                **usage,
            }
            LOG.write(json.dumps(line) + "\n")
            LOG.flush()
            PORTS.write("%d %s\n" % (client_port, path))
            PORTS.flush()
    finally:
        writer.close()


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
