"""A small server of the Model Context Protocol for tests: `python mcp_server.py [PORT]`; without a port, over stdio."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("desk")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def stock(article: str, warehouse: str = "north") -> dict[str, int | str]:
    """How many of an article
    are in a warehouse."""
    if article == "none":
        raise ValueError("there is no such article")
    _note(f"stock {article} {warehouse}")
    return {"article": article, "count": len(article)}


@server.tool()
def send_mail(to: str, text: str) -> str:
    """Sends a mail."""
    _note(f"mail {to}")
    return f"sent to {to}"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def secret() -> str:
    """Says a secret."""
    return f"it is {os.environ.get('DESK_KEY', 'nothing')}"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def die() -> str:
    """Ends the server."""
    os._exit(3)


def _note(line: str) -> None:
    """Leave a line where a test can count what was really called."""
    if "DESK_LOG" in os.environ:
        with Path(os.environ["DESK_LOG"]).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
