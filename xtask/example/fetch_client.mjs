// Sends a plan of chat requests with Node's own fetch, one loop for each API key.
//
// Reads {"base_url", "calls": [...]} from stdin, prints {"answered": N, "failed": [...]}.

import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

const plan = JSON.parse(await text(process.stdin));
const start = performance.now();
const failed = [];
let answered = 0;

async function speak(key, calls) {
  for (const call of calls) {
    await sleep(Math.max(0, start + call.at_ms - performance.now()));
    const headers = { ...call.headers, authorization: `Bearer ${key}` };
    const request = { headers, signal: AbortSignal.timeout(30_000) };
    if (call.body !== null) {
      headers["content-type"] = "application/json";
      request.method = "POST";
      request.body = JSON.stringify(call.body);
    }
    try {
      const response = await fetch(plan.base_url + call.path, request);
      await response.text();
      if (response.ok) answered += 1;
      else failed.push(`${key}: status ${response.status}`);
    } catch (error) {
      failed.push(`${key}: ${error}`);
    }
  }
}

const byKey = new Map();
for (const call of plan.calls) {
  byKey.set(call.key, [...(byKey.get(call.key) ?? []), call]);
}
await Promise.all([...byKey].map(([key, calls]) => speak(key, calls)));
console.log(JSON.stringify({ answered, failed }));
