"""LiteLLM's proxy as it is, with the keys of a file in memory in place of its database.

litellm_proxy.py PORT KEYS CHANGES: KEYS is a JSON object of raw keys and their limits of requests a minute; what is changed of a key is a line of
CHANGES. The master key is in LITELLM_MASTER_KEY.
"""

import json
import os
import sys

import uvicorn
from litellm.proxy import proxy_server
from litellm.proxy._types import LiteLLM_VerificationToken
from litellm.proxy.utils import hash_token


class Table:
    """What the proxy asks of a table of its database: one row by its token, and other tables have none."""

    def __init__(self, changes):
        self.rows, self.changes = {}, changes

    async def find_unique(self, where, **_):
        return self.rows.get(where.get("token"))

    async def find_first(self, **_):
        return None

    async def find_many(self, **_):
        return []

    async def update(self, where, data, **_):
        row = self.rows[where["token"]]
        for name, value in data.items():
            setattr(row, name, value)
        told = {name: value for name, value in data.items() if name in ("blocked", "rpm_limit", "metadata")}
        self.changes.write(json.dumps({"token": row.token, **told}) + "\n")
        self.changes.flush()
        return row


class Tables:
    def __init__(self, changes):
        self.changes = changes

    def __getattr__(self, name):
        table = Table(self.changes)
        setattr(self, name, table)
        return table


class Database:
    def __init__(self, keys, changes):
        self.db = Tables(changes)
        for key, rpm_limit in keys.items():
            token = hash_token(key)
            row = LiteLLM_VerificationToken(token=token, rpm_limit=rpm_limit, metadata={"team": "core"})
            self.db.litellm_verificationtoken.rows[token] = row

    async def update_data(self, token, data, **_):
        row = await self.db.litellm_verificationtoken.update({"token": token}, data)
        return {"token": token, "data": row.model_dump()}


def main():
    port, keys, changes = sys.argv[1:]
    with open(keys, encoding="utf-8") as keys, open(changes, "a", encoding="utf-8") as changes:
        proxy_server.prisma_client = Database(json.load(keys), changes)
        proxy_server.master_key = os.environ["LITELLM_MASTER_KEY"]
        uvicorn.run(proxy_server.app, host="127.0.0.1", port=int(port), lifespan="off", log_level="warning")


if __name__ == "__main__":
    main()
