// The official ollama package of npm against the server at QUERN_TEST_URL.
import assert from "node:assert/strict";
import test from "node:test";
import { Ollama } from "ollama";

const url = process.env.QUERN_TEST_URL;
assert.ok(url, "QUERN_TEST_URL is not set: start the tests with run.sh");
const client = new Ollama({ host: url });
const model = (await client.list()).models[0].model;
const messages = [{ role: "user", content: "Once upon a time" }];
const options = { num_predict: 16, seed: 7 };

test("list, show, ps", async () => {
  assert.ok((await client.show({ model })).model_info["general.architecture"]);
  assert.equal((await client.ps()).models[0].model, model);
});

test("generate, streamed and not, is the same text", async () => {
  const whole = await client.generate({ model, prompt: "Once upon a time", options });
  assert.equal(whole.done, true);
  let text = "";
  let last = null;
  for await (const part of await client.generate({ model, prompt: "Once upon a time", options, stream: true })) {
    text += part.response;
    last = part;
  }
  assert.equal(text, whole.response);
  assert.equal(last.eval_count, whole.eval_count);
});

test("chat, streamed and not, is the same text", async () => {
  const whole = await client.chat({ model, messages, options });
  let text = "";
  for await (const part of await client.chat({ model, messages, options, stream: true })) {
    text += part.message.content;
  }
  assert.equal(text, whole.message.content);
});

test("errors are raised", async () => {
  await assert.rejects(client.generate({ model: "no-such-model", prompt: "x" }), /not found/);
  await assert.rejects(client.generate({ model, prompt: "x", suffix: "y" }), /suffix/);
});

test("an abort ends the stream", async () => {
  const stream = await client.generate({ model, prompt: "Once", stream: true, options: { num_predict: -1 } });
  for await (const _ of stream) break;
  client.abort();
});
