"""Every alert fires when it must, is silent when it must, and resolves: said by promtool."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from tests.alerting.promtool import Rules, Story, alerts, failing, only, rules
from tests.alerting.stories import STORIES

MADE = rules()
NAMES = sorted({alert["alert"] for alert in alerts(MADE)})


def told(alert: str, made: Rules = MADE) -> dict[str, tuple[Rules, list[Story]]]:
    """The stories of an alert with the rules that they are of; those together that are evaluated as often."""

    def together(story: Story) -> tuple[str, str]:
        return story.every, story.where

    own = sorted((story for story in STORIES if story.alert == alert), key=together)
    return {" ".join(key): (only(made, alert, key[1]), list(each)) for key, each in groupby(own, key=together)}


@pytest.mark.debian
@pytest.mark.parametrize("alert", NAMES)
def test_stories(alert: str, tmp_path: Path) -> None:
    """An alert fires at the moments of its stories and at no others."""
    assert failing(tmp_path, told(alert)) == {}


@pytest.mark.parametrize("alert", NAMES)
def test_every_alert_fires_and_resolves(alert: str) -> None:
    """Of each alert one story goes from silence to firing and back."""
    counts = [list(story.firing.values()) for story in STORIES if story.alert == alert]
    rising = any(0 in each and max(each) > 0 for each in counts)
    assert (rising, any(each[-1] < max(each) for each in counts) or alert == "HoldfastEnvironmentNotWatched") == (
        True,
        True,
    )
