// The package `openai` of npm, told nothing but OPENAI_BASE_URL and OPENAI_API_KEY.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";
import { zodResponsesFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { ResponsesWS } from "openai/resources/responses/ws";
import { z } from "zod";
import { rejects, report } from "./report.mjs";

const model = process.env.MILLRACE_MODEL;
const client = new OpenAI();
const messages = [{ role: "user", content: "Why is the sky blue?" }];
const chat = { model, messages, temperature: 0, max_tokens: 12 };
const Lamp = z.object({ on: z.boolean(), colour: z.enum(["red", "green"]) });
const lamp = { type: "function", function: { name: "lamp", strict: true, parameters: z.toJSONSchema(Lamp) } };
const other = { type: "function", function: { name: "other", parameters: { type: "object", properties: {} } } };
const named = { type: "function", function: { name: "lamp" } };

await report({
  async models() {
    const ids = [];
    for await (const each of client.models.list()) {
      ids.push(each.id);
    }
    assert.ok(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);
  },

  async chat() {
    const { data, response, request_id: id } = await client.chat.completions.create(chat).withResponse();
    assert.equal(data.usage.completion_tokens, 12);
    assert.equal(data.choices[0].finish_reason, "length");
    assert.ok(id && id === response.headers.get("x-request-id"));
  },

  async stream() {
    const whole = (await client.chat.completions.create(chat)).choices[0].message.content;
    const stream = await client.chat.completions.create({ ...chat, stream: true, stream_options: { include_usage: true } });
    const pieces = [];
    let usage = null;
    for await (const chunk of stream) {
      usage = chunk.usage ?? usage;
      pieces.push(...chunk.choices.map((choice) => choice.delta.content ?? ""));
    }
    assert.ok(pieces.length > 5);
    assert.equal(pieces.join(""), whole);
    assert.equal(usage.completion_tokens, 12);
    assert.equal(await client.chat.completions.stream(chat).finalContent(), whole);
  },

  async "a stream left early"() {
    const stream = await client.chat.completions.create({ ...chat, max_tokens: 400, stream: true });
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      break;
    }
    assert.ok(stream.controller.signal.aborted);
  },

  async tools() {
    const forced = { ...chat, max_tokens: 200, tools: [lamp, other], tool_choice: "required", parallel_tool_calls: false };
    const any = (await client.chat.completions.create(forced)).choices[0];
    assert.equal(any.finish_reason, "tool_calls");
    assert.equal(any.message.tool_calls.length, 1);
    const message = (await client.chat.completions.create({ ...forced, tool_choice: named })).choices[0].message;
    const call = message.tool_calls[0];
    assert.equal(call.function.name, "lamp");
    Lamp.parse(JSON.parse(call.function.arguments));
    const answered = [...messages, message, { role: "tool", tool_call_id: call.id, content: "done" }];
    const after = await client.chat.completions.create({ ...forced, messages: answered, tool_choice: "none", max_tokens: 5 });
    assert.equal(after.choices[0].message.tool_calls ?? null, null);
    assert.equal(after.usage.completion_tokens, 5);
  },

  async "streamed tools"() {
    const stream = client.chat.completions.stream({ ...chat, max_tokens: 200, tools: [lamp, other], tool_choice: named, parallel_tool_calls: false });
    let deltas = 0;
    stream.on("tool_calls.function.arguments.delta", () => deltas++);
    const call = (await stream.finalMessage()).tool_calls[0];
    assert.equal(call.function.name, "lamp");
    Lamp.parse(JSON.parse(call.function.arguments));
    assert.ok(deltas > 1);
  },

  async schema() {
    const parsed = await client.chat.completions.parse({ ...chat, max_tokens: 200, response_format: zodResponseFormat(Lamp, "lamp") });
    Lamp.parse(parsed.choices[0].message.parsed);
  },

  async responses() {
    const first = await client.responses.create({ model, input: "Hello", max_output_tokens: 8, temperature: 0 });
    assert.equal(first.status, "incomplete");
    assert.ok(first.output_text.length > 0);
    const types = [];
    for await (const event of await client.responses.create({ model, input: "Hello", max_output_tokens: 8, temperature: 0, stream: true })) {
      types.push(event.type);
      assert.equal(event.sequence_number, types.length - 1);
    }
    assert.equal(types[0], "response.created");
    assert.equal(types.at(-1), "response.incomplete");
    const final = await client.responses.stream({ model, input: "Hello", max_output_tokens: 8, temperature: 0 }).finalResponse();
    assert.equal(final.output_text, first.output_text);
    assert.equal((await client.responses.retrieve(first.id)).output_text, first.output_text);
    const items = [];
    for await (const item of client.responses.inputItems.list(first.id)) {
      items.push(item);
    }
    assert.equal(items.length, 1);
    await client.responses.delete(first.id);
    await rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError, 404);
  },

  async "responses with tools and schema"() {
    const parsed = await client.responses.parse({ model, input: "A lamp", max_output_tokens: 200, text: { format: zodTextFormat(Lamp, "lamp") } });
    Lamp.parse(parsed.output_parsed);
    const tool = zodResponsesFunction({ name: "lamp", parameters: Lamp });
    const called = await client.responses.parse({ model, input: "Turn it on", max_output_tokens: 200, tools: [tool], tool_choice: "required", parallel_tool_calls: false });
    const call = called.output.find((item) => item.type === "function_call");
    Lamp.parse(call.parsed_arguments);
  },

  async "responses on a WebSocket"() {
    const socket = new ResponsesWS(client);
    let ended = 0;
    try {
      for await (const event of socket) {
        if (event.type === "open") {
          socket.send({ type: "response.create", model, input: "One", max_output_tokens: 4 });
        } else if (event.type === "error") {
          throw event.error;
        } else if (event.type === "message" && event.message.type === "response.incomplete") {
          assert.equal(event.message.response.usage.output_tokens, 4);
          if (++ended === 2) {
            break;
          }
          socket.send({ type: "response.create", model, input: "Two", max_output_tokens: 4 });
        }
      }
    } finally {
      socket.close();
    }
    assert.equal(ended, 2);
  },

  async completions() {
    const whole = await client.completions.create({ model, prompt: "Once", max_tokens: 4, temperature: 0 });
    assert.equal(whole.usage.completion_tokens, 4);
    assert.equal(whole.object, "text_completion");
  },

  async files() {
    const line = { custom_id: "one", method: "POST", url: "/v1/chat/completions", body: chat };
    const text = JSON.stringify(line) + "\n";
    const file = await client.files.create({ file: await toFile(Buffer.from(text), "in.jsonl"), purpose: "batch" });
    assert.equal(file.bytes, text.length);
    assert.equal(await (await client.files.content(file.id)).text(), text);
    assert.equal((await client.files.delete(file.id)).deleted, true);
    await rejects(client.files.retrieve(file.id), OpenAI.NotFoundError, 404);
  },

  async errors() {
    await rejects(client.chat.completions.create({ ...chat, model: "none" }), OpenAI.NotFoundError, 404, { code: "model_not_found" });
    await rejects(client.chat.completions.create({ ...chat, temperature: 9 }), OpenAI.BadRequestError, 400, { param: "temperature", type: "invalid_request_error" });
    await rejects(client.chat.completions.create({ ...chat, temperature: 9, stream: true }), OpenAI.BadRequestError, 400, { param: "temperature" });
    await rejects(new OpenAI({ apiKey: "wrong" }).chat.completions.create(chat), OpenAI.AuthenticationError, 401, { code: "invalid_api_key" });
  },
});
