"""Asks a proxy what a plan says, several at a time."""

import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor


def ask(base, asked):
    messages = [
        {"role": "system", "content": asked["system_prompt"]},
        {"role": "user", "content": asked["prompt"]},
    ]
    body = {"model": asked["model"], "max_tokens": asked["max_tokens"], "messages": messages}
    headers = {
        "authorization": f"Bearer {asked['account']}",
        "content-type": "application/json",
        "user-agent": asked["user_agent"],
    }
    request = urllib.request.Request(f"{base}/v1/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["choices"][0]["finish_reason"]


if __name__ == "__main__":
    base, path = sys.argv[1:]
    with open(path, encoding="utf-8") as lines:
        plan = [json.loads(line) for line in lines]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda asked: ask(base, asked), plan))
