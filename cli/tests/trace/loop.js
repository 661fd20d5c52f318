// A model API by Node's https, whose TLS takes its bytes from memory. It writes down what it was asked and what it answered.
//
// loop.js LOG PORTS CERTIFICATE KEY [incurious]: prints its port. The lines in LOG are of the format `weir_rich`; those in PORTS are the
// port of a client and a path. If it is incurious, it never asks who its clients are.
"use strict";
const fs = require("node:fs");
const https = require("node:https");

const [log, ports, certificate, key, how] = process.argv.slice(2);

function answerTo(asked) {
    const words = asked.messages.at(-1).content.length;
    const usage = { prompt_tokens: words, completion_tokens: asked.max_tokens };
    const said = { model: asked.model, choices: [{ finish_reason: "length", index: 0 }], usage };
    if (!asked.stream) {
        return [JSON.stringify({ ...said, padding: "x".repeat((words * 977) % 40000) }), usage];
    }
    const piece = { model: asked.model, choices: [{ delta: { content: "word " } }] };
    const events = [...Array(words % 7).fill(piece), said].map((event) => `data: ${JSON.stringify(event)}\n\n`);
    return [events.join("") + "data: [DONE]\n\n", usage];
}

async function serve(request, response) {
    const began = Date.now();
    const parts = [];
    for await (const part of request) {
        parts.push(part);
    }
    const body = Buffer.concat(parts).toString();
    const asked = JSON.parse(body);
    const [answer, usage] = answerTo(asked);
    const status = request.url.includes("limited") ? 429 : 200;
    const client = how === "incurious" ? [] : [request.socket.remoteAddress, request.socket.remotePort];
    response.writeHead(status, {
        "content-type": asked.stream ? "text/event-stream" : "application/json",
        ...(asked.stream || request.url.includes("chunked") ? {} : { "content-length": answer.length }),
    });
    for (let at = 0; at < answer.length; at += 1000) {
        response.write(answer.slice(at, at + 1000));
        // Others are served here.
        await new Promise(setImmediate);
    }
    response.end();
    const line = {
        account: request.headers.authorization ?? request.headers["x-api-key"],
        time: Date.now() / 1000,
        request_time: (Date.now() - began) / 1000,
        ip: client[0],
        user_agent: request.headers["user-agent"],
        uri: request.url,
        request_body: body,
        status,
        bytes_sent: answer.length,
        header_order: request.rawHeaders.filter((_, index) => index % 2 === 0).join(","),
        finish_reason: "length",
        ...usage,
    };
    fs.appendFileSync(log, JSON.stringify(line) + "\n");
    fs.appendFileSync(ports, `${client[1]} ${request.url}\n`);
}

const server = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, serve);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
