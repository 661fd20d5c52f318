"""Asks the model API at PORT by OpenAI's SDK, as applications do: sdk.py PORT REQUESTS.

One client asks in turn, streamed and not, and one many at once over connections of its own. Each has an account of its own."""

import asyncio
import sys

import httpx
import openai

PORT, REQUESTS = sys.argv[1], int(sys.argv[2])


def options(name, number):
    kind = ["plain", "chunked", "limited"][number % 3]
    return {"base_url": "https://127.0.0.1:%s/%s/sdk-%s-%d/v1" % (PORT, kind, name, number)}


def question(number):
    return {
        "model": "atlas-%d" % (number % 4),
        "max_tokens": number + 1,
        "temperature": 0.75,
        "logprobs": number % 2 == 0,
        "messages": [
            {"role": "system", "content": "You are terse."},
            {"role": "user", "content": "List %d rivers of the east. " % number + "river " * (number * 41 % 700)},
        ],
    }


def ask_in_turn():
    client = openai.OpenAI(api_key="sk-sdk-turn", base_url="https://127.0.0.1", max_retries=0, http_client=httpx.Client(verify=False))
    for number in range(REQUESTS):
        own = client.with_options(**options("turn", number))
        is_streamed = number % 4 == 1
        try:
            answer = own.chat.completions.create(**question(number), stream=is_streamed)
            said = list(answer)[-1] if is_streamed else answer
            assert said.choices[0].finish_reason == "length", said
            assert number % 3 != 2
        except openai.RateLimitError:
            assert number % 3 == 2


async def ask_at_once():
    client = openai.AsyncOpenAI(
        api_key="sk-sdk-once", base_url="https://127.0.0.1", max_retries=0, http_client=httpx.AsyncClient(verify=False, timeout=60)
    )

    async def ask(number):
        own = client.with_options(**options("once", number))
        try:
            answer = await own.chat.completions.create(**question(number), stream=number % 4 == 1)
            if number % 4 == 1:
                assert [piece async for piece in answer]
        except openai.RateLimitError:
            assert number % 3 == 2

    await asyncio.gather(*(ask(number) for number in range(REQUESTS)))


ask_in_turn()
asyncio.run(ask_at_once())
