"""What there is, by which the documents are held."""

from __future__ import annotations

import re

import pytest

import dev
from docs.site.events import logged
from monitor.cli import app
from tests.alerting.promtool import rules
from tests.docs.mistakes import Known
from tests.docs.test_documents import ROOT

NO_METRICS = {
    "holdfast_helpdesk": "the role of the tutorial",
    "holdfast_environment": "a variable of Icinga",
}


@pytest.fixture(scope="package")
def known() -> Known:
    """All that a page may name."""
    golden = (ROOT / "tests" / "golden" / "metrics.txt").read_text("utf-8")
    targets = re.findall(r"^([a-z][\w -]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    return Known(
        app=app,
        metrics={
            *re.findall(r"^# TYPE (holdfast_\w+) ", golden, re.MULTILINE),
            *re.findall(r"^(holdfast_\w+)[{ ]", golden, re.MULTILINE),
        },
        recorded={rule["record"] for group in rules()["groups"] for rule in group["rules"] if "record" in rule},
        names=NO_METRICS,
        targets={name for line in targets for name in line.split()},
        tasks={"demo", "run", "check", "lock", *dev.MODULES},
        events=logged(ROOT / "monitor"),
    )
