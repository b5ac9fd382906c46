"""The kinds of retriever that come with promptc, by name."""

from __future__ import annotations

RETRIEVERS: dict[str, str] = {
    "bm25": "promptc.runners.retrievers.bm25:Bm25",
    "dense": "promptc.runners.retrievers.dense:Dense",
    "hybrid": "promptc.runners.retrievers.hybrid:Hybrid",
    "qdrant": "promptc.runners.retrievers.qdrant:Qdrant",
    "chroma": "promptc.runners.retrievers.chroma:Chroma",
    "colbert": "promptc.runners.retrievers.colbert:Colbert",
    "http": "promptc.runners.retrievers.http:Http",
    "python": "promptc.runners.retrievers.python:Python",
}
