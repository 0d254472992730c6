"""Interfaces that clients of other programs already use.

agent_answers  Answer the calls of agents: hits, pictures, details and counts.
contact_sheet  Draw several pictures with their ids as one image.
embeddings   Embed texts and pictures by the API of OpenAI, in the dialect of infinity.
knn_service  Search by the API of clip-retrieval.
llm_plugin   Embed pictures and texts in the command `llm`.
mcp_tools    Search by the tools of the Model Context Protocol (MCP), which only read.
mount        Add these interfaces to the application.
"""
