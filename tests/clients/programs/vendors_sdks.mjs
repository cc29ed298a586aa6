// The vendors' SDKs for Node, raw and by their helpers: `vendors_sdks.mjs WORK MODEL`.

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const [work, model] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${process.env.GATEWAY}/v1`, apiKey: "sk-any" });
const anthropic = new Anthropic({ baseURL: process.env.GATEWAY, apiKey: "sk-any" });

const question = "What is the weather in Oslo?";
const messages = [{ role: "user", content: question }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const Weather = z.object({ city: z.string(), rains: z.boolean() });

async function chatTools() {
  const tools = [{ type: "function", function: { name: "weather", parameters, parse: JSON.parse, function: ({ city }) => `rain in ${city}` } }];
  const runner = openai.chat.completions.runTools({ model, messages, tools, stream: true });
  const text = await runner.finalContent();
  return { text, model: (await runner.finalChatCompletion()).model, usage: null };
}

async function chatParsed() {
  const response_format = zodResponseFormat(Weather, "weather");
  const answer = await openai.chat.completions.parse({ model, messages, response_format });
  return { value: answer.choices[0].message.parsed, model: answer.model };
}

async function chatRaw() {
  const stream = await openai.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
  let text = "", usage, named;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
    named = chunk.model;
  }
  return { text, model: named, tokens: usage.total_tokens };
}

async function responsesTools() {
  const tools = [{ type: "function", name: "weather", parameters, strict: true }];
  const common = { model, tools, store: false, include: ["reasoning.encrypted_content"], reasoning: { summary: "auto" } };
  const input = [...messages];
  const first = await openai.responses.stream({ ...common, input }).finalResponse();
  input.push(...first.output);
  for (const item of first.output.filter((item) => item.type === "function_call"))
    input.push({ type: "function_call_output", call_id: item.call_id, output: `rain in ${JSON.parse(item.arguments).city}` });
  const second = await openai.responses.stream({ ...common, input }).finalResponse();
  return { text: second.output_text, model: second.model };
}

async function responsesParsed() {
  const answer = await openai.responses.parse({ model, input: question, text: { format: zodTextFormat(Weather, "weather") } });
  return { value: answer.output_parsed, model: answer.model };
}

async function messagesTools() {
  const tools = [{ name: "weather", input_schema: parameters }];
  const common = { model, max_tokens: 4000, tools, thinking: { type: "enabled", budget_tokens: 2000 } };
  const turns = [...messages];
  const first = await anthropic.messages.stream({ ...common, messages: turns }).finalMessage();
  turns.push({ role: "assistant", content: first.content });
  const results = first.content.filter((block) => block.type === "tool_use")
    .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: `rain in ${block.input.city}` }));
  turns.push({ role: "user", content: results });
  const second = await anthropic.messages.stream({ ...common, messages: turns }).finalMessage();
  return { text: second.content.at(-1).text, model: second.model, reason: second.stop_reason, tokens: second.usage.input_tokens };
}

async function messagesCounted() {
  return await anthropic.messages.countTokens({ model, messages });
}

async function listed() {
  const names = [];
  for await (const each of anthropic.models.list()) names.push(each.id);
  for await (const each of openai.models.list()) names.push(each.id);
  return names.filter((name) => name === model).length;
}

async function refused() {
  const of = async (call) => {
    try {
      await call;
      return null;
    } catch (error) {
      return [error.constructor.name, error.status ?? null];
    }
  };
  return [
    await of(openai.chat.completions.create({ model, messages })),
    await of(openai.responses.create({ model, input: question })),
    await of(anthropic.messages.create({ model, messages, max_tokens: 10 })),
  ];
}

const works = { chatTools, chatParsed, chatRaw, responsesTools, responsesParsed, messagesTools, messagesCounted, listed, refused };
console.log(JSON.stringify(await works[work]()));
