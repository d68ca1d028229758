"""The package openai of PyPI, told nothing but OPENAI_BASE_URL and OPENAI_API_KEY."""

import asyncio
import json
import os
import time
from typing import Literal

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, ConfigDict

from report import raises, report

MODEL = os.environ["MILLRACE_MODEL"]
MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]
CHAT = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 12}
client = OpenAI()


class Lamp(BaseModel):
    model_config = ConfigDict(extra="forbid")

    on: bool
    colour: Literal["red", "green"]


LAMP = openai.pydantic_function_tool(Lamp, name="lamp")
OTHER = {"type": "function", "function": {"name": "other", "strict": True, "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False}}}
NAMED = {"type": "function", "function": {"name": "lamp"}}
FORCED = CHAT | {"max_tokens": 200, "tools": [LAMP, OTHER], "parallel_tool_calls": False}


def models():
    assert MODEL in [each.id for each in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


def chat():
    answer = client.chat.completions.create(**CHAT)
    assert answer.usage.completion_tokens == 12
    assert answer.choices[0].finish_reason == "length"
    raw = client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.request_id and raw.request_id == raw.headers["x-request-id"]


def stream():
    whole = client.chat.completions.create(**CHAT).choices[0].message.content
    chunks = list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
    pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert len(pieces) > 5
    assert "".join(pieces) == whole
    assert chunks[-1].usage.completion_tokens == 12
    with client.chat.completions.stream(**CHAT, stop=" question") as events:
        text = "".join(event.delta for event in events if event.type == "content.delta")
        final = events.get_final_completion().choices[0]
    assert final.finish_reason == "stop" and final.message.content == text and whole.startswith(text), (whole, text)


def eight_async_streams():
    async def one(number):
        text = ""
        async for chunk in await asynchronous.chat.completions.create(**CHAT | {"max_tokens": 4 + number}, stream=True):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
        return text

    async def all_of_them():
        async with asynchronous:
            return await asyncio.gather(*(one(number) for number in range(8)))

    asynchronous = AsyncOpenAI()
    texts = asyncio.run(all_of_them())
    assert texts[0]
    for shorter, longer in zip(texts, texts[1:]):
        assert longer.startswith(shorter), texts


def tools():
    any_call = client.chat.completions.create(**FORCED, tool_choice="required").choices[0]
    assert any_call.finish_reason == "tool_calls"
    assert len(any_call.message.tool_calls) == 1
    message = client.chat.completions.parse(**FORCED, tool_choice=NAMED).choices[0].message
    call = message.tool_calls[0]
    assert isinstance(call.function.parsed_arguments, Lamp)
    result = {"role": "tool", "tool_call_id": call.id, "content": "done"}
    said = {"role": "assistant", "tool_calls": [call.model_dump(include={"id": True, "type": True, "function": {"name", "arguments"}})]}
    after = client.chat.completions.create(**FORCED | {"messages": [*MESSAGES, said, result], "max_tokens": 5}, tool_choice="none")
    assert after.usage.completion_tokens == 5
    assert not after.choices[0].message.tool_calls


def streamed_tools():
    with client.chat.completions.stream(**FORCED, tool_choice=NAMED) as events:
        deltas = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
        call = events.get_final_completion().choices[0].message.tool_calls[0]
    assert len(deltas) > 1
    assert "".join(event.arguments_delta for event in deltas) == call.function.arguments
    assert isinstance(call.function.parsed_arguments, Lamp)


def schema():
    answer = client.chat.completions.parse(**CHAT | {"max_tokens": 200}, response_format=Lamp)
    assert isinstance(answer.choices[0].message.parsed, Lamp)


def responses():
    request = {"model": MODEL, "input": "Hello", "max_output_tokens": 8, "temperature": 0}
    first = client.responses.create(**request)
    assert first.status == "incomplete" and first.output_text
    events = list(client.responses.create(**request, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.incomplete"
    assert client.responses.retrieve(first.id).output_text == first.output_text
    assert len(list(client.responses.input_items.list(first.id))) == 1
    background = client.responses.create(**request, background=True)
    while background.status in ("queued", "in_progress"):
        time.sleep(0.05)
        background = client.responses.retrieve(background.id)
    assert background.output_text == first.output_text
    client.responses.delete(first.id)
    raises(openai.NotFoundError, lambda: client.responses.retrieve(first.id))


def responses_with_tools_and_schema():
    parsed = client.responses.parse(model=MODEL, input="A lamp", max_output_tokens=200, text_format=Lamp)
    assert isinstance(parsed.output_parsed, Lamp)
    tool = {"type": "function", "name": "lamp", "strict": True, "parameters": LAMP["function"]["parameters"]}
    called = client.responses.create(model=MODEL, input="On", max_output_tokens=200, tools=[tool], tool_choice="required", parallel_tool_calls=False)
    call = next(item for item in called.output if item.type == "function_call")
    Lamp.model_validate_json(call.arguments)


def responses_on_a_WebSocket():
    with client.responses.connect() as connection:
        for text in ("One", "Two"):
            connection.response.create(model=MODEL, input=text, max_output_tokens=4)
            for event in connection:
                assert event.type != "error", event
                if event.type == "response.incomplete":
                    assert event.response.usage.output_tokens == 4
                    break


def completions():
    answer = client.completions.create(model=MODEL, prompt="Once", max_tokens=4, temperature=0, logprobs=2)
    assert answer.usage.completion_tokens == 4
    assert len(answer.choices[0].logprobs.tokens) == 4


def files_and_batches():
    line = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    text = json.dumps(line) + "\n"
    file = client.files.create(file=("in.jsonl", text.encode()), purpose="batch")
    assert file.bytes == len(text)
    assert client.files.content(file.id).text == text
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    end = time.monotonic() + 60
    while batch.status not in ("completed", "failed") and time.monotonic() < end:
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    assert batch.status == "completed", batch
    answer = json.loads(client.files.content(batch.output_file_id).text)
    assert answer["response"]["body"]["usage"]["completion_tokens"] == 12
    assert client.files.delete(file.id).deleted


def errors():
    create = client.chat.completions.create
    raises(openai.NotFoundError, lambda: create(**CHAT | {"model": "none"}), status_code=404, code="model_not_found")
    raises(openai.BadRequestError, lambda: create(**CHAT | {"temperature": 9}), param="temperature", type="invalid_request_error")
    raises(openai.BadRequestError, lambda: create(**CHAT | {"temperature": 9}, stream=True), param="temperature")
    wrong = OpenAI(api_key="wrong")
    raises(openai.AuthenticationError, lambda: wrong.chat.completions.create(**CHAT), status_code=401, code="invalid_api_key")


report([
    models,
    chat,
    stream,
    eight_async_streams,
    tools,
    streamed_tools,
    schema,
    responses,
    responses_with_tools_and_schema,
    responses_on_a_WebSocket,
    completions,
    files_and_batches,
    errors,
])
