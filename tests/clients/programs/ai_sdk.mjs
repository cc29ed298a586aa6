// The AI SDK: `ai_sdk.mjs PROVIDER WORK MODEL`.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [provider, work, name] = process.argv.slice(2);
const baseURL = `${process.env.GATEWAY}/v1`;
const apiKey = "sk-any";
const model = {
  responses: () => createOpenAI({ baseURL, apiKey })(name),
  chat: () => createOpenAI({ baseURL, apiKey }).chat(name),
  compatible: () => createOpenAICompatible({ name: "gateway", baseURL, apiKey, supportsStructuredOutputs: true })(name),
  messages: () => createAnthropic({ baseURL, apiKey })(name),
}[provider]();

const prompt = "What is the weather in Oslo?";
const weather = tool({ inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => `rain in ${city}` });
// Without it the items of earlier answers are not sent, but their ids alone, to a server that has stored them.
const providerOptions = { openai: { store: false } };
const asked = { model, prompt, maxOutputTokens: work === "plain" ? 16 : 2000, providerOptions };
const withTools = { ...asked, tools: { weather }, stopWhen: stepCountIs(3) };

const works = {
  generate: async () => ({ text: (await generateText(withTools)).text }),
  stream: async () => {
    const result = streamText({ ...withTools, onError: ({ error }) => { throw error; } });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    return { text, model: (await result.response).modelId };
  },
  object: async () => (await generateObject({ ...asked, schema: z.object({ city: z.string(), rains: z.boolean() }) })).object,
  plain: async () => ({ text: (await generateText(asked)).text }),
};
console.log(JSON.stringify(await works[work]()));
