// The package `@anthropic-ai/sdk` of npm, told nothing but ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { rejects, report } from "./report.mjs";

const model = process.env.MILLRACE_MODEL;
const client = new Anthropic();
const message = { model, max_tokens: 12, temperature: 0, messages: [{ role: "user", content: "Why is the sky blue?" }] };
const Lamp = z.object({ on: z.boolean(), colour: z.enum(["red", "green"]) });
const tools = [
  { name: "lamp", description: "Turns a lamp on or off", input_schema: z.toJSONSchema(Lamp) },
  { name: "other", input_schema: { type: "object", properties: {} } },
];
const forced = { ...message, max_tokens: 200, tools, tool_choice: { type: "tool", name: "lamp", disable_parallel_tool_use: true } };

await report({
  async models() {
    const ids = [];
    for await (const each of client.models.list()) {
      ids.push(each.id);
    }
    assert.ok(ids.includes(model));
  },

  async messages() {
    const answer = await client.messages.create(message);
    assert.equal(answer.type, "message");
    assert.equal(answer.stop_reason, "max_tokens");
    assert.equal(answer.usage.output_tokens, 12);
    assert.equal(answer.content[0].type, "text");
    assert.ok(answer._request_id);
  },

  async stream() {
    const whole = (await client.messages.create(message)).content[0].text;
    let text = "";
    let pieces = 0;
    const stream = client.messages.stream(message).on("text", (delta) => {
      text += delta;
      pieces++;
    });
    const final = await stream.finalMessage();
    assert.ok(pieces > 5);
    assert.equal(text, whole);
    assert.equal(final.content[0].text, whole);
    assert.equal(final.usage.output_tokens, 12);
  },

  async tools() {
    const answer = await client.messages.create(forced);
    assert.equal(answer.stop_reason, "tool_use");
    const call = answer.content.find((block) => block.type === "tool_use");
    assert.equal(call.name, "lamp");
    Lamp.parse(call.input);
    const result = { type: "tool_result", tool_use_id: call.id, content: "done" };
    const messages = [...message.messages, { role: "assistant", content: answer.content }, { role: "user", content: [result] }];
    const after = await client.messages.create({ ...forced, messages, max_tokens: 5, tool_choice: { type: "none" } });
    assert.equal(after.usage.output_tokens, 5);
    const any = await client.messages.create({ ...forced, tool_choice: { type: "any", disable_parallel_tool_use: true } });
    assert.equal(any.content.filter((block) => block.type === "tool_use").length, 1);
  },

  async "streamed tools"() {
    let pieces = 0;
    const final = await client.messages.stream(forced).on("inputJson", () => pieces++).finalMessage();
    Lamp.parse(final.content.find((block) => block.type === "tool_use").input);
    assert.equal(final.stop_reason, "tool_use");
    assert.ok(pieces > 1);
  },

  async schema() {
    const answer = await client.messages.parse({ ...message, max_tokens: 200, output_config: { format: zodOutputFormat(Lamp) } });
    Lamp.parse(answer.parsed_output);
  },

  async "counted tokens"() {
    const { input_tokens: counted } = await client.messages.countTokens({ model, messages: message.messages });
    const { usage } = await client.messages.create(message);
    assert.equal(counted, usage.input_tokens + (usage.cache_read_input_tokens ?? 0));
  },

  async errors() {
    await rejects(client.messages.create({ ...message, model: "none" }), Anthropic.NotFoundError, 404, { type: "not_found_error" });
    await rejects(client.messages.create({ ...message, max_tokens: -1 }), Anthropic.BadRequestError, 400, { type: "invalid_request_error" });
    await rejects(client.messages.stream({ ...message, max_tokens: -1 }).finalMessage(), Anthropic.BadRequestError, 400);
    await rejects(new Anthropic({ apiKey: "wrong" }).messages.create(message), Anthropic.AuthenticationError, 401, { type: "authentication_error" });
  },
});
