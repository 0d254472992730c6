"""A page in the table of hits shows its text, with the words of the query marked."""

import re

from tests.support.document_files import pdf
from tests.support.terminal import raw_terminal_output


def test_page_shows_the_part_of_its_text_around_the_words(clew, tmp_path):
    text = "the filter is in front\n" * 6 + "clean the drain pump\n" + "every month\n" * 6
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "manual.pdf").write_bytes(pdf([("white", text)]))
    assert clew("index", tmp_path / "docs").exit_code == 0
    arguments = ["search", "drain pump", "--kind", "page", "--all", "--library", str(tmp_path / "library")]
    output = raw_terminal_output(arguments, tmp_path, 100)
    assert "manual.pdf" in output and " p. 1" in output
    assert re.findall(r"\x1b\[1(?:;2)?m(\w+)\x1b", output) == ["drain", "pump"]
    assert clew("search", "drain pump", "--kind", "page", "--all", "--nl").stdout.count('"text": null') == 1
