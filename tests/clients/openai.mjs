// The openai package against a Tributary endpoint, unmodified: the base URL is all it is told.
//   node openai.mjs BASE_URL MODEL [ADAPTER]
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, model, adapter] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0, timeout: 300_000 });
const messages = [{ role: "user", content: "Say hello." }];
const chat = (fields) => client.chat.completions.create({ model, messages, max_tokens: 12, ...fields });

const listed = [];
for await (const card of client.models.list()) listed.push(card.id);
assert.ok(listed.includes(model), `${model} is not among ${listed}`);
assert.equal((await client.models.retrieve(model)).id, model);
if (adapter) assert.ok((await client.models.retrieve(adapter)).parent, "an adapter has a parent");

const reply = await chat({ temperature: 0 });
const text = reply.choices[0].message.content;
assert.ok(["stop", "length"].includes(reply.choices[0].finish_reason));
assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
assert.equal(reply.tributary.outTokens, reply.usage.completion_tokens);

const chunks = [];
for await (const chunk of await chat({ temperature: 0, stream: true, stream_options: { include_usage: true } })) chunks.push(chunk);
assert.equal(chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta.content ?? "")).join(""), text);
assert.equal(chunks.at(-1).usage.completion_tokens, reply.usage.completion_tokens);
assert.equal(chunks.at(-1).tributary.outTokens, reply.tributary.outTokens);

const seeded = await Promise.all([1, 2].map(() => chat({ seed: 7, temperature: 0.9 })));
assert.equal(seeded[0].choices[0].message.content, seeded[1].choices[0].message.content);

const completion = await client.completions.create({ model, prompt: "The capital of France is", max_tokens: 8, temperature: 0 });
assert.ok(completion.choices[0].text.length > 0);

const schema = { type: "object", properties: { mood: { enum: ["good", "bad"] } }, required: ["mood"], additionalProperties: false };
const shaped = await chat({ max_tokens: 60, temperature: 0, response_format: { type: "json_schema", json_schema: { name: "mood", strict: true, schema } } });
assert.ok(["good", "bad"].includes(JSON.parse(shaped.choices[0].message.content).mood));

const tools = [{ type: "function", function: { name: "mood", description: "Tells a mood.", parameters: schema } }];
const asked = { tools, tool_choice: { type: "function", function: { name: "mood" } }, max_tokens: 60, temperature: 0 };
const [call] = (await chat(asked)).choices[0].message.tool_calls;
assert.ok(["good", "bad"].includes(JSON.parse(call.function.arguments).mood));
const calls = client.chat.completions.stream({ model, messages, ...asked });
const built = (await calls.finalChatCompletion()).choices[0].message.tool_calls;
assert.deepEqual(built.map((one) => one.function), [call.function]);

if (listed.includes("all-minilm-l6-v2")) {
  const embedded = await client.embeddings.create({ model: "all-minilm-l6-v2", input: ["That is a happy person", "That is a happy dog"] });
  const [one, other] = embedded.data.map((entry) => entry.embedding);
  const dot = one.reduce((sum, value, index) => sum + value * other[index], 0);
  assert.ok(Math.abs(dot - 0.695) < 0.001, `${dot}`);
}

await assert.rejects(chat({ temperature: -1 }), (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature");
await assert.rejects(chat({ model: "no-such-model" }), (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");

const leaving = await chat({ max_tokens: 200, stream: true });
for await (const chunk of leaving) if (chunk.choices.length) break;
leaving.controller.abort();

const names = [model, adapter ?? model, model, adapter ?? model];
const answers = await Promise.all(names.map((name) => chat({ model: name, temperature: 0 })));
const texts = answers.map((answer) => answer.choices[0].message.content);
assert.ok(texts[0] === text && texts[2] === text && texts[1] === texts[3]);

console.log(JSON.stringify({ client: "openai-js", text, fee: reply.tributary.fee, chunks: chunks.length }));
