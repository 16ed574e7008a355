"""What is tried here is counted by group, a file each, and told at the end of a run."""

from collections import Counter

import pytest

TRIED, FAILED = Counter(), Counter()
counted = 0  # when the present test began


def group_of(nodeid):
    path, _, _ = nodeid.partition("::")
    folder, _, name = path.rpartition("/")
    return name.removeprefix("test_").removesuffix(".py") if folder.endswith("reliability") else ""


@pytest.fixture
def tried(request):
    """Return a function that counts cases, for a test that tries many; others count as one."""
    group = group_of(request.node.nodeid)

    def count(n_cases=1):
        TRIED[group] += n_cases

    return count


def pytest_runtest_logreport(report):
    global counted
    group = group_of(report.nodeid)
    if not group or report.outcome == "skipped":
        return
    if report.when == "setup":
        counted = TRIED[group]
    if report.failed or report.when == "call":
        TRIED[group] += TRIED[group] == counted
        FAILED[group] += report.failed


def pytest_terminal_summary(terminalreporter):
    if not TRIED.total():
        return
    terminalreporter.section("reliability")
    line = "{:<20}{:>12}{:>12}{:>12}".format
    terminalreporter.write_line(line("group", "cases tried", "survived", "failures"))
    for group in sorted(TRIED):
        failed = FAILED[group]
        terminalreporter.write_line(line(group, TRIED[group], TRIED[group] - failed, failed))
