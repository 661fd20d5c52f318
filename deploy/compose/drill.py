"""The recorded traffic through a gateway, as fast as it was made: eight customers, and a campaign of six keys.

    drill.py RECORDING HOST:PORT

Ends with 0 when a key of the campaign was refused and a customer's was not, with 1 when that did not come about.
"""

import http.client
import json
import queue
import sys
import threading
import time

CAMPAIGN, CUSTOMER = "sk-example-mirror-01", "sk-example-harbor-chat"
PATIENCE_S = 240
CLIENTS = 16


def ask(gateway, method, path, headers, body=None):
    """The status of one request; 0 where nobody answered."""
    try:
        connection = http.client.HTTPConnection(gateway, timeout=30)
        connection.request(method, path, body, headers)
        status = connection.getresponse().status
        connection.close()
        return status
    except OSError:
        return 0


def request(line):
    """One recorded line as a request."""
    headers = {
        "Authorization": "Bearer " + line["account"],
        "User-Agent": line["user_agent"],
        "X-Forwarded-For": line["ip"],
        "X-Drill-Model": line["response_model"],
        "X-Drill-Prompt-Tokens": line["prompt_tokens"],
        "X-Drill-Completion-Tokens": line["completion_tokens"],
        "X-Drill-Finish-Reason": line["finish_reason"],
    }
    body = line["request_body"].encode() or None
    if body:
        headers["Content-Type"] = "application/json"
    return line["method"], line["uri"], headers, body


def main():
    recording, gateway = sys.argv[1:3]
    lines = [json.loads(line) for line in open(recording, encoding="utf-8")]
    work, statuses, lock = queue.Queue(), {}, threading.Lock()

    def client():
        while (line := work.get()) is not None:
            status = ask(gateway, *request(line))
            with lock:
                statuses[status] = statuses.get(status, 0) + 1

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    began, first = time.monotonic(), lines[0]["time"]
    for line in lines:
        time.sleep(max(0.0, began + line["time"] - first - time.monotonic()))
        work.put(line)
    for _ in clients:
        work.put(None)
    for thread in clients:
        thread.join()
    print("requests:", len(lines), "by status:", dict(sorted(statuses.items())), flush=True)

    def status_of(key):
        return ask(gateway, "GET", "/v1/models", {"Authorization": "Bearer " + key})

    deadline = time.monotonic() + PATIENCE_S
    while (status := status_of(CAMPAIGN)) not in (403, 429):
        if time.monotonic() > deadline:
            print(f"{CAMPAIGN} is still answered with {status}")
            return 1
        time.sleep(1)
    customer = status_of(CUSTOMER)
    print(f"{CAMPAIGN}: {status}\n{CUSTOMER}: {customer}")
    return 0 if customer == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
