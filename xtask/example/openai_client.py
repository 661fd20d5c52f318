"""Sends a plan of chat requests with the openai SDK, one thread for each API key.

Reads {"base_url", "calls": [...]} from stdin, prints {"answered": N, "failed": [...]}.
"""

import json
import sys
import threading
import time

from openai import OpenAI, OpenAIError


def speak(base_url, key, calls, start, answered, failed):
    # A retry would be a request that the plan does not count.
    client = OpenAI(base_url=base_url + "/v1", api_key=key, max_retries=0, timeout=30)
    for call in calls:
        time.sleep(max(0.0, start + call["at_ms"] / 1000 - time.monotonic()))
        try:
            if call["body"] is None:
                client.models.list(extra_headers=call["headers"])
            else:
                client.chat.completions.create(**call["body"], extra_headers=call["headers"])
            answered.append(key)
        except OpenAIError as error:
            failed.append(f"{key}: {error}")


def main():
    plan = json.load(sys.stdin)
    by_key = {}
    for call in plan["calls"]:
        by_key.setdefault(call["key"], []).append(call)
    answered, failed = [], []
    start = time.monotonic()
    threads = [
        threading.Thread(target=speak, args=(plan["base_url"], key, calls, start, answered, failed))
        for key, calls in by_key.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"answered": len(answered), "failed": failed}))


main()
