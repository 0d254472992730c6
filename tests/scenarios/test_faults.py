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


def test_case_is_the_only_one_that_is_tried():
    (result,) = faults.run_parts(["copies"], faults.make_plan(case="copy 2"))
    assert (result.error, result.tally.tried, result.tally.failures) == (None, 1, [])


def test_case_with_a_number_does_not_select_a_longer_number():
    plan = faults.make_plan(case="index, kill after at operation 15")
    assert plan.selects("first index, kill after at operation 15")
    assert not plan.selects("first index, kill after at operation 157")
    assert faults.make_plan().selects("each")
