"""Add these interfaces to the application."""

from fastapi import FastAPI

from retrieval.server.dialects import embeddings, knn_service


def add_dialects(app: FastAPI) -> None:
    """Add the routes of clip-retrieval and OpenAI."""
    app.include_router(knn_service.router)
    app.include_router(embeddings.router)
