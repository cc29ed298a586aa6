"""Sentences of servers about a conversation that is longer than the model's context.

Few have a code for it, and no two the same sentence, so the sentence is looked for: the known ones, each with its
server, and any other that speaks of the length of a context and of an excess. Sentences about rates, money and the
length of an answer mention tokens too, and do not count.

Sources, beside the vendors' own pages: the error strings in the sources of vLLM, SGLang, text-generation-inference,
llama.cpp, Ollama, LocalAI, KoboldCpp, TensorRT-LLM, LMDeploy and mlx-lm, LiteLLM's `ExceptionCheckers`, the lists of
earendil-works/pi (`packages/ai/src/utils/overflow.ts`) and of opencode (`provider-error.ts`), and genkit-ai/genkit
#6259.
"""

from __future__ import annotations

import re

MAX_LENGTH = 4096
"""Limit for the characters of a sentence that is searched; a longer one contains a quotation."""

SENTENCES: dict[str, str] = {
    # Numbers are written as "#", and other characters than letters as blanks.
    "prompt is too long": "Anthropic, Vertex (Claude), Databricks: prompt is too long: 213462 tokens > 200000 maximum",
    "prompt too long": "Ollama: prompt too long; exceeded max context length by 12 tokens",
    "exceed context limit": "Anthropic: input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
    "input is too long": "Bedrock, Anthropic on Bedrock: Input is too long for requested model.",
    "too many input tokens": "Bedrock: Too many input tokens. Max input tokens: 128000, request input token count: …",
    "too many total text bytes": "Bedrock (Amazon Nova): too many total text bytes",
    "maximum context length is #": (
        "OpenAI, Azure, DeepSeek, vLLM, OpenRouter, NVIDIA NIM, Fireworks, Perplexity, Hugging Face:"
        " This model's maximum context length is 8192 tokens. However, you requested …"
    ),
    "maximum model length": "vLLM: The prompt (total length 5000) is longer than the maximum model length of 4096",
    "maximum context window is #": "gateways of many kinds: maximum context window is 8192 tokens",
    "too long to fit into the model": "vLLM: The prompt (total length 5000) is too long to fit into the model",
    "context length is only #": "vLLM: the model's context length is only 4096 tokens, resulting in a maximum input …",
    "exceeds the context window": "OpenAI (Responses): Your input exceeds the context window of this model.",
    "tokens exceed the configured limit": "OpenAI, Azure: Input tokens exceed the configured limit of 272000 tokens.",
    "exceeds the maximum number of tokens allowed": (
        "Gemini, Vertex: The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."
    ),
    "maximum prompt length is #": "xAI: This model's maximum prompt length is 131072 but the request contains …",
    "too large for model with # maximum context length": (
        "Mistral: Prompt contains 40000 tokens … too large for model with 32768 maximum context length"
    ),
    "too many tokens": "Cohere, AI21: too many tokens: size limit exceeded by 12 tokens",
    "reduce the length of the messages": "Groq, Cerebras: Please reduce the length of the messages or completion.",
    "reduce your prompt": "OpenAI, Azure, Qianfan: Please reduce your prompt; or completion length.",
    "inputs tokens max new tokens must be": (
        "Together, text-generation-inference, GLM: `inputs` tokens + `max_new_tokens` must be <= 4097."
    ),
    "inputs must have less than # tokens": "text-generation-inference: `inputs` must have less than 1024 tokens.",
    "is longer than the model s context length": (
        "SGLang, Together: The input (5000 tokens) is longer than the model's context length (4096 tokens)."
    ),
    "requested token count exceeds": "SGLang: Requested token count exceeds the model's maximum context length of …",
    "exceeds the available context size": "llama.cpp: the request exceeds the available context size, try …",
    "context size has been exceeded": "llama.cpp, LM Studio: Context size has been exceeded.",
    "greater than the context length": (
        "LM Studio: The number of tokens to keep from the initial prompt is greater than the context length."
    ),
    "input is too large to process": "llama.cpp: input is too large to process. increase the physical batch size",
    "context the overflows": "LM Studio: Trying to keep the first 4132 tokens when context the overflows.",
    "exceeds context length": "Ollama: input length exceeds context length",
    "exceeds maximum input length": "TensorRT-LLM: Prompt length (5000) exceeds maximum input length (4096).",
    "should not exceed max num tokens": (
        "TensorRT-LLM: The sum of prompt length (5000), query length (1024) should not exceed max_num_tokens (4096)"
    ),
    "exceeds the session len": "LMDeploy: the input length exceeds the session_len",
    "the configured context size is #": (
        "LocalAI: Prompt has 5000 tokens, but the configured context size is 4096 tokens"
    ),
    "requested tokens # exceed context window": "llama-cpp-python: Requested tokens (5000) exceed context window of …",
    "exceeded model token limit": "Kimi, Moonshot: Your request exceeded model token limit: 262144",
    "context window exceeds limit": "MiniMax: invalid params, context window exceeds limit (2013)",
    "range of input length should be": "Qwen, DashScope: Range of input length should be [1, 30720]",
    "prompt exceeds max length": "GLM, z.AI: Prompt exceeds max length",
    "prompt 超长": "GLM: Prompt 超长",
    "输入长度超": "GLM, Qianfan, Hunyuan: 输入长度超过模型上限",
    "上下文长度超": "Qianfan, SiliconFlow: 上下文长度超过限制",
    "超过最大长度": "SiliconFlow, Hunyuan: 输入超过最大长度",
    "超出最大长度": "SiliconFlow, Hunyuan: 输入超出最大长度",
    "token count of # exceeds the limit of #": "Copilot: prompt token count of 135416 exceeds the limit of 128000",
    "request body too large for": "GitHub Models: Request body too large for gpt-4o model. Max size: 8000 tokens.",
    "maximum allowed input length": "Poolside: Input length 131393 exceeds the maximum allowed input length of 131040",
    "tokens in request more than max tokens allowed": "NVIDIA NIM: tokens in request more than max tokens allowed",
    "the number of input tokens # cannot exceed the total tokens limit": (
        "watsonx: the number of input tokens 5000 cannot exceed the total tokens limit 4096 for this model"
    ),
    "exceeded this model context window limit": (
        "Cloudflare: The estimated number of input and maximum output tokens (9000) exceeded this model context window"
        " limit (8000)."
    ),
    "exceed max message tokens": "Volcengine: Total tokens of image and text exceed max message tokens",
    "must be less than max seq len": "SiliconFlow: length of prompt_tokens (40000) must be less than max_seq_len …",
    "malformed input request expected max": "Bedrock: Malformed input request: expected maxLength: 2048, actual: 5000",
    "max input characters is #": "Qianfan: the max input characters is 20000",
    "max tokens of # exceeded": "Snowflake Cortex: max tokens of 4096 exceeded",
    "longer than the context": "KoboldCpp, and others: prompt is longer than the context",
    "token limit exceeded": "MiniMax, OpenRouter: token limit exceeded",
    "context length exceeded": "SambaNova, Databricks, Replicate, and as a code many: context_length_exceeded",
}
"""The known sentences, each with its server and its whole text."""

LENGTHS = (
    "context length",
    "context window",
    "context size",
    "context limit",
    "max context",
    "maximum context",
    "sequence length",
    "max seq len",
    "prompt length",
    "input length",
    "length of the input",
    "length of the prompt",
    "input token",
    "prompt token",
    "request token",
    "tokens in the prompt",
    "tokens in the input",
    "tokens in your prompt",
    "model token limit",
    "prompt contains # tokens",
    "prompt has # tokens",
    "input has # tokens",
    "input of # tokens",
    "prompt of # tokens",
    "max position embeddings",
    "max input length",
    "max prompt length",
    "上下文",
    "输入内容",
)
"""Words for a length."""

CARRIERS = ("prompt", "input", "message", "conversation", "history", "request", "number of tokens", "total tokens")
"""Words for a text, in sentences that count tokens as well."""

ANSWER_LIMITS = ("max tokens", "max completion tokens", "max output tokens", "max new tokens", "max gen len")
"""Words for a limit of the answer, which is no limit of the context."""

EXCESSES = (
    "exceed",
    "too long",
    "too large",
    "too big",
    "longer than",
    "larger than",
    "greater than",
    "bigger than",
    "more than",
    "too many",
    "overflow",
    "does not fit",
    "doesn t fit",
    "cannot fit",
    "not enough room",
    "reduce the",
    "shorten the",
    "out of",
    "insufficient",
    "must not be over",
    "beyond the",
    "over the limit",
    "above the limit",
    "limit is #",
    "only supports",
    "only allows",
    "at most # tokens",
    "超过",
    "超出",
    "过长",
    "超长",
    "超限",
)
"""Words for an excess."""

RATES_AND_MONEY = (
    "rate limit",
    "ratelimit",
    "too many requests",
    "throttl",
    "per min",
    "per second",
    "per hour",
    "per day",
    "per month",
    "tokens minute",
    "tokens day",
    " tpm ",
    " rpm ",
    " tpd ",
    " rpd ",
    "daily",
    "monthly",
    "quota",
    "billing",
    "balance",
    "credit",
    "afford",
    "please wait",
    "限流",
    "频率",
    "余额",
)
"""Words of sentences that are about rates and money, whatever else is in them."""

OTHER_LENGTHS = (
    "output token",
    "completion token",
    "response token",
    "budget tokens",
    "thinking budget",
    " argument",
    "stop sequence",
    " schema",
    " image",
    " audio",
    " video",
    " file ",
    " description",
    " name ",
    " metadata",
)
"""The lengths of other things: with them only a known sentence counts."""

_SEPARATORS = re.compile(r"[\W_]+")
_INNER_CAPITALS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NUMBERS = re.compile(r"[0-9][0-9 ]*")
_SENTENCE_ENDS = re.compile(r"[.!?][\s\"')]|[。\n]")
_AMBIGUOUS = ("too many tokens", "token limit exceeded")


def is_overflow(text: str) -> bool:
    """Whether a server's sentence, or its code, says that the conversation is longer than the context."""
    text = text[:MAX_LENGTH]
    whole = _plain(text)
    if any(word in whole for word in RATES_AND_MONEY):
        return False
    speaks_of_others = any(word in whole for word in OTHER_LENGTHS)
    known = (sentence for sentence in SENTENCES if not (speaks_of_others and sentence in _AMBIGUOUS))
    if any(sentence in whole for sentence in known):
        return True
    return not speaks_of_others and any(map(_is_about_excess, _SENTENCE_ENDS.split(text)))


def _is_about_excess(sentence: str) -> bool:
    plain = _plain(sentence)
    return _speaks_of_length(plain) and any(excess in plain for excess in EXCESSES)


def _speaks_of_length(plain: str) -> bool:
    if any(length in plain for length in LENGTHS):
        return True
    counts = " token" in plain and not any(limit in plain for limit in ANSWER_LIMITS)
    return counts and any(carrier in plain for carrier in CARRIERS)


def _plain(text: str) -> str:
    """The words of a text, in small letters, with a blank around each, and "#" for each number."""
    words = _SEPARATORS.sub(" ", _INNER_CAPITALS.sub(" ", text).lower())
    return f" {_NUMBERS.sub('# ', words)} ".replace("  ", " ")
