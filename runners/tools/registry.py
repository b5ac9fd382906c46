"""The tools that come with promptc, by name."""

from __future__ import annotations

TOOLS: dict[str, str] = {
    "python": "promptc.runners.tools.python:PythonTool",
    "http": "promptc.runners.tools.http:HttpTool",
    "mcp": "promptc.runners.tools.mcp:McpTool",
    "retriever": "promptc.runners.tools.retriever:RetrieverTool",
    "calculator": "promptc.runners.tools.calculator:Calculator",
}
