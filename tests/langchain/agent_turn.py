"""One turn of an agent whose conversation is in a SQLite file: a process of its own."""

import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver

from langchain_qwen_vl import ChatQwenVL


@tool
def weather(city: str) -> str:
    """Look up the weather of a city."""
    return f"Rain in {city}."


def main(database: str, base_url: str, protocol: Any, question: str) -> None:
    """Ask the agent that knows the conversation from the file."""
    model = ChatQwenVL(
        model="qwen4-max",
        base_url=base_url,
        api_key="sk-sandbox",
        protocol=protocol,
        thinking_display="summarized",
    )
    with SqliteSaver.from_conn_string(database) as saver:
        agent = create_agent(model, [weather], checkpointer=saver)
        agent.invoke({"messages": [HumanMessage(question)]}, {"configurable": {"thread_id": "1"}})


if __name__ == "__main__":
    main(*sys.argv[1:])
