"""A program with the Agents SDK: one agent with a tool, asked once. Run by `test_agents.py`.

It runs in a Python of its own: this SDK and mitmproxy ask for different versions of h11.
"""

from __future__ import annotations

import asyncio
import sys

import agents
import openai

TAG = "x-tenant"


@agents.function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


async def main(url: str, tenant: str, scenario: str, how: str) -> None:
    """Ask by the Responses API, whole or streamed, or by Chat Completions."""
    headers = {TAG: tenant, "x-scenario": scenario}
    client = openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="c4n4ry-key", max_retries=0, default_headers=headers
    )
    agents.set_tracing_disabled(True)
    kind = agents.OpenAIChatCompletionsModel if how == "chat" else agents.OpenAIResponsesModel
    model = kind(model="gpt-5", openai_client=client)
    agent = agents.Agent(name="Clerk", instructions="Be brief.", tools=[weather], model=model)
    if how == "stream":
        streamed = agents.Runner.run_streamed(agent, "Weather?", auto_previous_response_id=True)
        async for _ in streamed.stream_events():
            pass
        print(streamed.final_output)
    else:
        print((await agents.Runner.run(agent, "Weather?")).final_output)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
