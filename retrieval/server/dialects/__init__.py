"""Interfaces that clients of other programs already use.

embeddings   Embed texts and pictures by the API of OpenAI, in the dialect of infinity.
input        Read the body of a request that other programs send.
knn_service  Search by the API of clip-retrieval.
mount        Add these interfaces to the application.
"""
