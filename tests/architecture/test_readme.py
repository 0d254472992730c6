"""The README names every command, its Python code runs, and its links exist."""

import re
from pathlib import Path

import pytest

from indexer.cli.main import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", main.commands)
def test_readme_names_every_command(name):
    assert f"clew {name}" in README


def test_readme_shows_a_picture_then_commands_then_python():
    picture = re.search(r"!\[.+\]\((.+)\)", README)
    assert picture
    assert (ROOT / picture[1]).exists()
    order = [README.index(part) for part in (picture[0], "clew demo", "```python")]
    assert order == sorted(order)


def test_readme_is_short():
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1_200
    assert max(map(len, README.splitlines())) <= 130


def test_readme_links_to_files_that_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_python_of_the_readme_runs(folder, tmp_path, monkeypatch):
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
