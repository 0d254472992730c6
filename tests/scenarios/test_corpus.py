"""The corpus runner detects files that end a process, hang, take memory, raise errors or are not reported."""

import pytest

from tests import faults
from tests.support.corpus.mutations import mutants
from tests.support.corpus.runner import CorpusRunner, Watch
from tests.support.corpus.verdict import BAD_OUTCOMES, Sample

FAILURES = {
    "crash": "crash",
    "hang": "hang",
    "memory": "memory",
    "traceback": "traceback",
    "bug": "traceback",
    "unreported": "unreported",
}


def test_each_failure_is_detected_and_the_next_file_is_read(tmp_path):
    watch = Watch(seconds=8, memory_bytes=900_000_000, module="tests.support.corpus.failing_child")
    samples = [
        sample
        for name in FAILURES
        for sample in (Sample(f"{name}.txt", name.encode()), Sample("good.txt", b"red"))
    ]
    outcomes = [verdict.outcome for verdict in CorpusRunner(tmp_path, watch).run(samples)]
    assert outcomes[::2] == list(FAILURES.values())
    assert set(outcomes[1::2]) == {"read"}
    assert set(outcomes[::2]) == BAD_OUTCOMES
    assert [path.name for path in tmp_path.iterdir()] == ["stderr"]


def test_table_has_each_outcome_and_escaped_names_of_bad_files(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "files"
    folder.mkdir()
    for name, data in {
        "good\x1b[31m.txt": b"red",
        "bad.png": b"\x89PNG\r\n\x1a\n",
        "film.xyz": b"x",
        "part.html": b"",
    }.items():
        (folder / name).write_bytes(data)
    assert faults.main(["--corpus", str(folder), "--quiet"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["skipped:", "unsupported", "format", "1"] in lines
    assert ["files", "4", "in"] in [line[:3] for line in lines]
    monkeypatch.setattr("tests.support.corpus.part.Watch", failing_watch)
    (folder / "bad\n.txt").write_bytes(b"bug")
    assert faults.main(["--corpus", str(folder), "--quiet"]) == 1
    printed = capsys.readouterr().out
    assert "bad\\n.txt: " in printed
    assert "\x1b" not in printed


def failing_watch(seconds, memory_bytes, model):
    return Watch(seconds, memory_bytes, model, "tests.support.corpus.failing_child")


def test_mutants_are_repeatable_and_differ_from_their_sources():
    sources = [
        Sample("a.png", bytes(range(256)) * 4),
        Sample("b.unknown", b"text " * 90),
        Sample("c.md", b""),
    ]
    first, again = list(mutants(sources, 60, 1)), list(mutants(sources, 60, 1))
    assert first == again
    assert first != list(mutants(sources, 60, 2))
    assert sum(mutant.source in {source.source for source in sources} for mutant in first) <= 3
    assert {mutant.name.rpartition(".")[2] for mutant in first} == {"png", "jpg"}


@pytest.mark.parametrize("option", ["--seconds", "--memory"])
def test_limit_of_a_file_is_an_option(option, tmp_path):
    assert getattr(faults.parse_arguments(["--corpus", str(tmp_path), option, "3"]), option[2:]) == 3
