"""What OpenAI's API refuses in a request: the fake upstream answers 400 with the first complaint."""

import re
from typing import Any

FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ROLES = {"system", "developer", "user", "assistant", "tool"}
PARTS = {"text", "image_url", "input_audio", "file"}
PARAMETERS = {
    "model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "stop",
    "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "seed", "user", "tools", "tool_choice",
    "parallel_tool_calls", "response_format", "reasoning_effort", "metadata", "store", "service_tier", "modalities",
}  # fmt: skip


def complaint(body: Any) -> str | None:
    """The first thing wrong with a chat completion request, or None."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str) or not body["model"]:
        return "you must provide a model parameter"
    if unknown := sorted(set(body) - PARAMETERS):
        return f"Unrecognized request argument supplied: {unknown[0]}"
    if "stream_options" in body and not body.get("stream"):
        return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    if not isinstance(body.get("temperature", 1), int | float) or not 0 <= body.get("temperature", 1) <= 2:
        return "Invalid 'temperature': expected a number from 0 to 2"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "Invalid 'messages': empty array"
    found = (*map(tool_complaint, body.get("tools") or []), *map(message_complaint, messages))
    return next((wrong for wrong in found if wrong), None) or pairing_complaint(messages)


def tool_complaint(tool: Any) -> str | None:
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(function, dict):
        return "Invalid value in 'tools[].type'"
    if not FUNCTION_NAME.fullmatch(str(function.get("name"))):
        return "Invalid 'tools[].function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'"
    if function.get("parameters", {"type": "object"}).get("type") != "object":
        return "Invalid schema for function: schema must have type 'object'"
    return None


def message_complaint(message: Any) -> str | None:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        return "Invalid value in 'messages[].role'"
    content = message.get("content")
    if isinstance(content, list):
        if not content or any(not isinstance(part, dict) or part.get("type") not in PARTS for part in content):
            return "Invalid value in 'messages[].content[].type'"
    elif content is None:
        if message["role"] != "assistant" or not message.get("tool_calls"):
            return "Invalid 'messages[].content': expected a string"
    elif not isinstance(content, str):
        return "Invalid type for 'messages[].content'"
    return None


def pairing_complaint(messages: list[dict[str, Any]]) -> str | None:
    """Every tool call is followed by its results, and every result follows its call."""
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            waiting.discard(message["tool_call_id"])
        elif waiting:
            break
        else:
            calls = message.get("tool_calls") or []
            waiting = {call["id"] for call in calls}
            if len(waiting) < len(calls):
                return "Duplicate value for 'tool_calls[].id'"
            if not all(FUNCTION_NAME.fullmatch(call["function"]["name"]) for call in calls):
                return "Invalid 'messages[].tool_calls[].function.name'"
    if waiting:
        return "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
    return None
