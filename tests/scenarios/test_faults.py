"""No operation loses, duplicates or leaves anything over when it is killed or its writes fail.

`python tests/faults.py` runs more cases, and prints how to repeat one.
"""

import pytest

from tests import faults


@pytest.mark.parametrize("part", faults.PARTS)
def test_library_survives(part, capsys):
    status = faults.main(["--only", part, "--quiet"])
    assert status == 0, capsys.readouterr().out
