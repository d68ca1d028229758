"""The package anthropic of PyPI, told nothing but ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY."""

import os
from typing import Literal

import anthropic
from anthropic import Anthropic
from pydantic import BaseModel, ConfigDict

from report import raises, report

MODEL = os.environ["MILLRACE_MODEL"]
MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]
MESSAGE = {"model": MODEL, "max_tokens": 12, "messages": MESSAGES, "extra_body": {"temperature": 0}}
client = Anthropic()


class Lamp(BaseModel):
    model_config = ConfigDict(extra="forbid")

    on: bool
    colour: Literal["red", "green"]


TOOLS = [
    {"name": "lamp", "description": "Turns a lamp on or off", "input_schema": Lamp.model_json_schema()},
    {"name": "other", "input_schema": {"type": "object", "properties": {}}},
]
FORCED = MESSAGE | {"max_tokens": 200, "tools": TOOLS}
NAMED = {"type": "tool", "name": "lamp", "disable_parallel_tool_use": True}


def models():
    assert MODEL in [each.id for each in client.models.list()]


def messages():
    answer = client.messages.create(**MESSAGE)
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 12
    assert answer.content[0].type == "text"
    assert answer._request_id


def stream():
    whole = client.messages.create(**MESSAGE).content[0].text
    with client.messages.stream(**MESSAGE) as events:
        pieces = list(events.text_stream)
        final = events.get_final_message()
    assert len(pieces) > 5
    assert "".join(pieces) == whole == final.content[0].text
    assert final.usage.output_tokens == 12


def tools():
    answer = client.messages.create(**FORCED, tool_choice=NAMED)
    assert answer.stop_reason == "tool_use"
    call = next(block for block in answer.content if block.type == "tool_use")
    Lamp.model_validate(call.input)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "done"}
    conversation = [*MESSAGES, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    after = client.messages.create(**FORCED | {"messages": conversation, "max_tokens": 5}, tool_choice={"type": "none"})
    assert after.usage.output_tokens == 5
    any_call = client.messages.create(**FORCED, tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert len([block for block in any_call.content if block.type == "tool_use"]) == 1


def streamed_tools():
    with client.messages.stream(**FORCED, tool_choice=NAMED) as events:
        pieces = [event.partial_json for event in events if event.type == "input_json"]
        final = events.get_final_message()
    assert len(pieces) > 1
    assert final.stop_reason == "tool_use"
    Lamp.model_validate(next(block for block in final.content if block.type == "tool_use").input)


def schema():
    answer = client.messages.parse(**MESSAGE | {"max_tokens": 200}, output_format=Lamp)
    assert isinstance(answer.parsed_output, Lamp)


def counted_tokens():
    counted = client.messages.count_tokens(model=MODEL, messages=MESSAGES).input_tokens
    usage = client.messages.create(**MESSAGE).usage
    assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def errors():
    create = client.messages.create
    raises(anthropic.NotFoundError, lambda: create(**MESSAGE | {"model": "none"}), status_code=404, type="not_found_error")
    raises(anthropic.BadRequestError, lambda: create(**MESSAGE | {"max_tokens": -1}), status_code=400, type="invalid_request_error")
    raises(anthropic.BadRequestError, lambda: create(**MESSAGE | {"max_tokens": -1}, stream=True), status_code=400)
    wrong = Anthropic(api_key="wrong")
    raises(anthropic.AuthenticationError, lambda: wrong.messages.create(**MESSAGE), status_code=401, type="authentication_error")


report([models, messages, stream, tools, streamed_tools, schema, counted_tokens, errors])
