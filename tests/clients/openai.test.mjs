// The official openai package of npm against the server at QUERN_TEST_URL.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";

const url = process.env.QUERN_TEST_URL;
assert.ok(url, "QUERN_TEST_URL is not set: start the tests with run.sh");
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0 });
const model = (await client.models.list()).data[0].id;
const messages = [{ role: "user", content: "Once upon a time" }];

test("models", async () => {
  assert.equal((await client.models.retrieve(model)).id, model);
});

test("completion, streamed and not, is the same text", async () => {
  const options = { model, prompt: "Once upon a time", max_tokens: 16, seed: 7 };
  const whole = await client.completions.create(options);
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
  let text = "";
  for await (const chunk of await client.completions.create({ ...options, stream: true })) {
    text += chunk.choices[0].text;
  }
  assert.equal(text, whole.choices[0].text);
});

test("chat, streamed and not, is the same text", async () => {
  const options = { model, messages, max_tokens: 16, seed: 7 };
  const whole = await client.chat.completions.create(options);
  const stream = await client.chat.completions.create({
    ...options,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.deepEqual(usage.completion_tokens, whole.usage.completion_tokens);
});

test("errors have their classes", async () => {
  await assert.rejects(
    client.completions.create({ model: "no-such-model", prompt: "x" }),
    OpenAI.NotFoundError,
  );
  await assert.rejects(client.completions.create({ model, prompt: "x", n: 0 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "n");
    return true;
  });
});

test("an abort frees the sequence", async () => {
  const stream = await client.chat.completions.create({ model, messages, stream: true, ignore_eos: true });
  for await (const _ of stream) break;
  stream.controller.abort();
  const end = Date.now() + 2000;
  for (;;) {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    if (/^quern_requests_running\{[^}]*\} 0$/m.test(metrics)) break;
    assert.ok(Date.now() < end, "the sequence still runs");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});
