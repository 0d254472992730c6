"""README names every command and public name, and its Python runs."""

import re
from pathlib import Path

import indexer
import retrieval
from indexer.cli.main import main

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_every_command_and_its_flags_stand_in_the_readme():
    for name, command in main.commands.items():
        assert f"clew {name}" in README, name
        for option in command.params:
            long = [flag for flag in option.opts if flag.startswith("-")]
            assert not long or any(f"`{flag}" in README or f" {flag}" in README for flag in long), (
                name,
                long,
            )


def test_every_public_name_stands_in_the_readme():
    for name in [*retrieval.__all__, *indexer.__all__]:
        assert re.search(rf"\b{name}\b", README), name
        module = retrieval if name in retrieval.__all__ else indexer
        assert name == "Kind" or getattr(module, name).__doc__, name


def test_it_opens_with_a_sentence_a_picture_two_commands_and_python():
    picture = re.search(r"!\[.+\]\((.+)\)", README)
    assert picture
    assert (Path(__file__).parents[2] / picture[1]).exists()
    order = [
        README.index(part)
        for part in (picture[0], "clew demo", "pytest", "```python", "## Numbers", "## Changes")
    ]
    assert order == sorted(order)


def test_the_python_of_the_readme_runs(folder, tmp_path, monkeypatch):
    """The examples run as they stand, on a folder in place of a person's."""
    home = tmp_path / "home"
    (home / "Pictures").mkdir(parents=True)
    for file in folder.iterdir():
        file.rename(home / "Pictures" / file.name)
    (home / "Pictures" / "red.png").rename(home / "dog.jpg")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.chdir(home)
    for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(code, "README.md", "exec"), {})
    assert (home / "data" / "clew" / "catalogue.sqlite").exists()
