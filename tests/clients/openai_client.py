"""The openai package against a Tributary endpoint, unmodified: the base URL is all it is told.

    openai_client.py BASE_URL MODEL [ADAPTER]
"""

import concurrent.futures
import json
import sys

from typing import Literal

from openai import BadRequestError, NotFoundError, OpenAI
from pydantic import BaseModel

EMBEDDING = "all-minilm-l6-v2"
base_url, model, *rest = sys.argv[1:]
adapter = rest[0] if rest else None
client = OpenAI(base_url=base_url, api_key="unused", max_retries=0, timeout=300)
messages = [{"role": "user", "content": "Say hello."}]


def chat(**fields):
    return client.chat.completions.create(**{"model": model, "messages": messages, "max_tokens": 12, **fields})


listed = {card.id for card in client.models.list()}
assert model in listed, listed
assert client.models.retrieve(model).id == model
if adapter:
    card = client.models.retrieve(adapter)
    assert card.parent, "an adapter has a parent"

reply = chat(temperature=0)
text = reply.choices[0].message.content
assert reply.choices[0].finish_reason in ("stop", "length")
assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
receipt = reply.tributary
assert receipt["outTokens"] == reply.usage.completion_tokens, receipt
assert chat(temperature=0).choices[0].message.content == text, "greedy answers repeat"

chunks = list(chat(temperature=0, stream=True, stream_options={"include_usage": True}))
streamed = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
assert streamed == text, (streamed, text)
assert chunks[-1].usage.completion_tokens == reply.usage.completion_tokens
assert chunks[-1].tributary["outTokens"] == receipt["outTokens"]

with client.chat.completions.stream(model=model, messages=messages, max_tokens=12, temperature=0) as stream:
    assert "".join(event.delta for event in stream if event.type == "content.delta") == text

seeded = [chat(seed=7, temperature=0.9).choices[0].message.content for _ in range(2)]
assert seeded[0] == seeded[1]

detail = chat(temperature=0, logprobs=True, top_logprobs=3).choices[0].logprobs.content
assert len(detail) == reply.usage.completion_tokens and len(detail[0].top_logprobs) == 3

completion = client.completions.create(model=model, prompt="The capital of France is", max_tokens=8, temperature=0)
assert completion.choices[0].text
pieces = client.completions.create(
    model=model, prompt="The capital of France is", max_tokens=8, temperature=0, stream=True
)
assert "".join(c.text for piece in pieces for c in piece.choices) == completion.choices[0].text

echoed = client.completions.create(model=model, prompt="The capital", max_tokens=2, temperature=0, echo=True, logprobs=1)
assert echoed.choices[0].text.startswith("The capital") and echoed.choices[0].logprobs.token_logprobs[0] is None


class Mood(BaseModel):
    mood: Literal["good", "bad"]
    sure: bool


parsed = client.chat.completions.parse(model=model, messages=messages, max_tokens=60, temperature=0, response_format=Mood)
assert isinstance(parsed.choices[0].message.parsed, Mood), parsed
guided = chat(extra_body={"guided_choice": ["left", "right"]})
assert guided.choices[0].message.content in ("left", "right"), guided

weather = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"], "additionalProperties": False}
tools = [{"type": "function", "function": {"name": "weather", "description": "The weather of a city.", "parameters": weather}}]
asked = {"tools": tools, "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 60, "temperature": 0}
calling = chat(**asked).choices[0]
(call,) = calling.message.tool_calls
assert calling.finish_reason == "tool_calls" and json.loads(call.function.arguments)["city"] in ("Oslo", "Rome")
arguments = ""
for chunk in chat(stream=True, **asked):
    for delta in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
        arguments += delta.function.arguments or ""
assert arguments == call.function.arguments, (arguments, call)
turn = [*messages, calling.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "warm"}]
assert chat(messages=turn, tools=tools, temperature=0).choices[0].message.role == "assistant"

if EMBEDDING in listed:
    near, far = (client.embeddings.create(model=EMBEDDING, input=["That is a happy person", text]).data for text in ("That is a very happy person", "Today is a sunny day"))
    dot = lambda pair: sum(a * b for a, b in zip(pair[0].embedding, pair[1].embedding))
    assert abs(dot(near) - 0.943) < 0.001 and abs(dot(far) - 0.257) < 0.001, (dot(near), dot(far))

for kind, fields in ((BadRequestError, {"temperature": -1}), (NotFoundError, {"model": "no-such-model"})):
    try:
        chat(**fields)
    except kind as error:
        assert error.body["message"], error
    else:
        raise AssertionError(f"{fields} should be refused")

models = [model, adapter or model] * 3
with concurrent.futures.ThreadPoolExecutor(6) as pool:
    answers = list(pool.map(lambda name: chat(model=name, temperature=0).choices[0].message.content, models))
assert answers[0] == answers[2] == answers[4] == text and answers[1] == answers[3] == answers[5]

print(json.dumps({"client": "openai-python", "text": text, "fee": receipt["fee"], "chunks": len(chunks)}))
