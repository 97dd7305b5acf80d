"""Models of the fake upstream that call Pilothouse's tools, and servers that take none.

``chart`` draws one chart and says so · ``charts`` three calls at once, one of an unknown tool · ``endless`` calls in every
round · ``broken-call`` arguments that are no JSON · ``slow-chart-N`` N ms between the pieces of a call · ``no-tools-S`` refuses
tools with status S, in the words of Ollama (400), OpenRouter (404) and llama.cpp (500), but answers to a schema
"""

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from tests.upstream.behaviours import Call

FRUIT: dict[str, Any] = {
    "type": "bar", "title": "Fruit", "labels": ["apples", "pears", "plums"], "series": [{"values": [3, 5, 2]}],
}  # fmt: skip
REFUSALS = {
    400: "registry.ollama.ai/library/gemma:2b does not support tools",
    404: "No endpoints found that support tool use.",
    500: "tools param requires --jinja flag",
}


async def call_tools(call: "Call", *wanted: tuple[str, str], pause: float = 0.0) -> None:
    """Some words, then the calls in pieces, as OpenAI streams them."""
    call.open()
    call.say({"content": "One moment."})
    for at, (name, arguments) in enumerate(wanted):
        first = {"index": at, "id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": ""}}
        call.say({"tool_calls": [first]})
        for start in range(0, len(arguments), 16):
            await asyncio.sleep(pause)
            call.say({"tool_calls": [{"index": at, "function": {"arguments": arguments[start : start + 16]}}]})
    call.end("tool_calls")


def chart(title: str) -> tuple[str, str]:
    return "drawing_chart", orjson.dumps(FRUIT | {"title": title}).decode()


def results(call: "Call") -> list[str]:
    return [message["content"] for message in call.messages if message["role"] == "tool"]


async def draws_chart(call: "Call", pause: int = 0) -> None:
    if call.messages[-1]["role"] == "tool" or not call.body.get("tools"):
        return call.tell(f"{len(results(call))} results.")
    return await call_tools(call, chart("Fruit"), pause=pause / 1000)


async def draws_charts(call: "Call") -> None:
    if call.messages[-1]["role"] == "tool":
        return call.tell(f"{sum('Error' in result for result in results(call))} of {len(results(call))} failed.")
    return await call_tools(call, chart("One"), ("no_such_tool", "{}"), chart("Two"))


async def endless(call: "Call") -> None:
    if call.body.get("tools"):
        return await call_tools(call, chart(f"Number {len(results(call))}"))
    return call.tell(f"{len(results(call))} charts.")


async def broken_call(call: "Call") -> None:
    if call.messages[-1]["role"] == "tool":
        return call.tell(results(call)[-1])
    return await call_tools(call, ("drawing_chart", '{"type": "bar", "series": ['))


async def no_tools(call: "Call", status: int) -> None:
    if call.body.get("tools"):
        return call.wire.refuse(status, REFUSALS[status])
    if call.body.get("response_format", {}).get("type") == "json_schema":
        schema = call.body["response_format"]["json_schema"]["schema"]
        chosen = schema.get("anyOf", [schema])[0]["properties"]["tool"]["const"]
        return call.tell(orjson.dumps({"tool": chosen, "inputs": {"chartType": "pie", "title": "Fruit"}}).decode())
    return call.tell(f"{len(call.messages)} messages, the last: {call.messages[-1]['content']}")
