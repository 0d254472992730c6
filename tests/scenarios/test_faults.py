"""No operation loses, duplicates or leaves anything over when it is killed or its writes fail.

`python tests/faults.py` runs more cases, and prints how to repeat one.
"""

import pytest

from tests import faults

pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def results():
    """Run the reduced harness once; return the result of each part."""
    return {result.part: result for result in faults.run_parts([*faults.PARTS], faults.make_plan())}


@pytest.mark.parametrize("part", faults.PARTS)
def test_library_survives(part, results, capsys):
    faults.print_results([results[part]], seed=1)
    assert faults.is_good(results[part]), capsys.readouterr().out
