"""An agent starts `clew mcp` and searches a real library through its standard input and output."""

import asyncio
import os
import sys

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from indexer import index_folder


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_agent_searches_and_looks_through_a_subprocess(folder, place, tmp_path, mode):
    index_folder(folder, library=place).close()
    script = "from indexer.cli.main import main; main()"
    command = StdioServerParameters(
        command=sys.executable,
        args=["-c", script, "mcp", "--library", str(place)],
        env=dict(os.environ),
        cwd=tmp_path,
    )

    async def main():
        async with Client(command, mode=mode) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} >= {"search", "look"}
            found = await client.call_tool("search", {"query": "a red surface kind:image", "k": 2})
            hits = found.structured_content["hits"]
            assert len(hits) == 2
            seen = await client.call_tool("look", {"ids": [hit["id"] for hit in hits]})
            assert [content.type for content in seen.content] == ["text", "image"]
            wrong = await client.call_tool("details", {"id": 10**9})
            assert wrong.is_error

    asyncio.run(main())


def test_missing_library_is_reported(clew):
    result = clew("mcp")
    assert result.exit_code != 0
    assert "clew index" in result.output


def test_missing_extra_is_named(clew, library, monkeypatch):
    monkeypatch.setattr("retrieval.cli.serving.mcp.find_spec", lambda name: None)
    result = clew("mcp")
    assert result.exit_code != 0
    assert 'pip install "clew-search[mcp]"' in result.output
