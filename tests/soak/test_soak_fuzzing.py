"""Fuzzing in full length: 50,000 examples of the targets that `make test` has fewer of."""

import pytest

from tests.support import fuzzed_pages
from tests.support.fuzzing import examine
from tests.support.processes import printed_by
from tests.test_fuzzing import TARGETS, settings_of_django  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # it hides what went wrong


def noted(figure, name, count, costs):
    seconds, mib = costs
    figure(
        f"fuzzing, {name}: examples; the most CPU time while traced, and memory",
        f"{count}; {seconds:.1f} s, {mib:.0f} MiB",
    )


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_read_or_refused_within_bounds(name, figure):
    count = TARGETS[name].examples
    noted(figure, name, count, examine(TARGETS[name], count))


def test_every_page_comes_whatever_is_typed_stored_or_answered(figure):
    count = fuzzed_pages.EXAMPLES
    noted(figure, "pages", count, printed_by("tests.support.fuzzed_pages", count, bound=550))


def test_examples_are_50_000():
    assert sum(target.examples for target in TARGETS.values()) + fuzzed_pages.EXAMPLES == 50_000
