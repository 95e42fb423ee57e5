"""The report of a month: what is read, what it comes to, and the file that people get."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from monitor.core.ledger.found import Loss
from monitor.core.record import NotRun, RunRecord, StepTiming
from monitor.core.rollup import DAY, HOUR, Rollup, floor
from monitor.core.trend import Turn
from monitor.core.verdict import Finding, Kind, Reason, Verdict
from monitor.core.violations import Stage
from monitor.ports import Store
from monitor.report import Form, Period, Report, judged, rendered, whole
from monitor.report.availability import Gap, Hour
from monitor.report.gather import Gathered
from tests.report import DOWN, SILENT, SINCE, UNTIL, days, hours, loss, outage, violation
from tests.report.conftest import MONTH, Month, subject


def report_of(*parts: object, length: timedelta = MONTH) -> Report:
    """A report of these environments."""
    return whole(parts, period=Period.latest(length, UNTIL), location="eu-west-1", version="0.0.0")  # type: ignore[arg-type]


def gathered(**found: object) -> Gathered:
    """What was read of a month without trouble, with something else in it."""
    made = hours("production")
    calm = [each for each in made if not each.reasons]
    given = {"counts": calm, "rollups": days(calm), **found}
    return Gathered(subject=subject("production"), period=Period.latest(MONTH, UNTIL), **given)  # type: ignore[arg-type]


async def test_a_month_comes_to_its_figures(month: Month) -> None:
    """Runs, budget, steps, events, impact and gaps are those that were put in."""
    part = await month.judged("production")
    made = [each for each in hours("production") if each.start >= part.period.since]
    assert part.budget.runs == sum(sum(each.verdicts.values()) for each in made)
    assert part.budget.bad == 360
    assert [point.left for point in part.course][-2] == pytest.approx(part.budget.left)
    assert {line.name for line in part.steps} == {(each.probe, step) for each in made for step in each.steps}
    reload = next(line for line in part.steps if line.step == "reload")
    assert reload.count == sum(each.steps["reload"].count for each in made if "reload" in each.steps)
    assert reload.quantiles[0] == pytest.approx(0.052, rel=0.1)
    assert [kept.kind for kept in part.events.violations] == [Kind.TTL_MISSING, Kind.LOST]
    assert [loss.cause for loss in part.events.losses] == ["failover"]
    assert part.affected.time == timedelta(hours=2 + 5, minutes=12)  # DOWN and an hour on, of which the loss is a part
    assert part.affected.revenue == pytest.approx(57 * 7.2)
    assert part.affected.users_now == 120_000
    assert Gap(since=SILENT[0], until=SILENT[1]) in part.gaps
    assert {part.hours[hour] for hour in (DOWN[0], SILENT[0], SINCE + DAY)} == {Hour.WORSE, Hour.SILENT, Hour.GOOD}


async def test_what_became_slower_is_told(month: Month) -> None:
    """A third slower since a week is slower, of one step of seven."""
    report = report_of(part := await month.judged("production"))
    told = {line.name: report.turn(part, line) for line in part.steps if report.turn(part, line) is not Turn.STEADY}
    assert told == {("thread", "reload"): Turn.SLOWER}
    assert [line.name for line in report.changed(part)] == [("thread", "reload")]


async def test_what_is_not_rolled_up_yet_is_in_it(month: Month) -> None:
    """The runs of the hour that goes on, and turns of it that were missed, count as those before."""
    before = await month.judged("production", timedelta(hours=6))
    run = RunRecord(
        run_id="0195",
        environment="production",
        probe="thread",
        started=UNTIL - timedelta(minutes=3),
        took=timedelta(seconds=1),
        finding=Finding.of((), checks=1),
        steps=(StepTiming(name="reload", after=timedelta(), took=timedelta(seconds=3)),),
    )
    await month.state.save([run], ())
    await month.state.keep_not_run(
        [
            NotRun(
                environment="production", probe="thread", at=UNTIL - timedelta(minutes=2), reason=Reason.MISSED, times=4
            )
        ]
    )
    after = await month.judged("production", timedelta(hours=6))
    assert (after.budget.good, after.budget.bad) == (before.budget.good + 1, before.budget.bad + 4)
    over = [next(line.over for line in part.steps if line.step == "reload") for part in (before, after)]
    assert over == [0, 1]


async def test_an_environment_that_nobody_watched_is_unknown(month: Month) -> None:
    """Where there are no runs nothing is safe, available or unaffected by assumption."""
    part = await month.judged("staging")
    assert part.verdict is Verdict.UNKNOWN
    assert part.budget.availability is None
    assert "no run of this period is remembered" in part.summary[0]
    assert part.silent == part.period.length
    assert (part.affected.users_now, part.affected.revenue) == (None, None)
    assert part.summary[-1] == "Whether users were affected is not known."
    assert part.costs == [] or all(of.operations == 0 for of in part.costs)
    text = rendered(report_of(part), Form.HTML)
    assert "100 %" not in text.split("<footer>", maxsplit=1)[0].split("</head>")[1]


async def test_days_are_known_for_longer_than_hours(month: Month) -> None:
    """Of days whose hours are forgotten the runs count, and no gap within them is guessed."""
    made = days(hours("elder"))
    late = [each for each in hours("elder") if each.start >= UNTIL - timedelta(days=10)]
    await month.state.keep_rollups([*made, *late])
    part = await month.judged("elder")
    assert part.known_since == floor(UNTIL - timedelta(days=10), DAY) + DAY
    whole_days = [each for each in made if floor(part.period.since, DAY) <= each.start < part.known_since]
    assert part.budget.runs == sum(sum(each.verdicts.values()) for each in whole_days) + sum(
        sum(each.verdicts.values()) for each in late if each.start >= part.known_since
    )
    assert all(gap.since >= part.known_since for gap in part.gaps)
    assert "only whole days are remembered" in rendered(report_of(part), Form.HTML)


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({}, Verdict.OK, "The data is safe: no promise was broken"),
        (
            {"violations": [violation("production", Kind.LOST, DOWN[0], DOWN[1], id_="x")]},
            Verdict.OK,
            "safe now: one violation of this period is closed",
        ),
        (
            {"violations": [violation("production", Kind.LOST, DOWN[0], None, id_="x")]},
            Verdict.VIOLATED,
            "not safe: a violation stands (lost)",
        ),
        (
            {
                "violations": [
                    replace(violation("production", Kind.LOST, DOWN[0], None, id_="x"), stage=Stage.ACKNOWLEDGED)
                ]
            },
            Verdict.VIOLATED,
            "not safe: a violation stands (lost; 1 acknowledged)",
        ),
        (
            {"counts": [each for each in hours("production") if each.start < UNTIL - timedelta(hours=9)]},
            Verdict.UNKNOWN,
            "Nobody knows whether the data is safe now: the last run was before 2026-03-31 01:00",
        ),
        ({"counts": []}, Verdict.UNKNOWN, "no run of this period is remembered"),
    ],
)
def test_whether_the_data_is_safe_comes_first(change: dict[str, object], verdict: Verdict, words: str) -> None:
    """Safe says only who looked a short while ago and found nothing that stands."""
    part = judged(gathered(**change))
    assert part.verdict is verdict
    assert words in part.summary[0]


def run(probe: str, *, reason: Reason | None = None, age: timedelta = timedelta(minutes=1)) -> RunRecord:
    """The latest run of a probe, right where no reason is given."""
    return RunRecord(
        run_id=f"0195-{probe}",
        environment="production",
        probe=probe,
        started=UNTIL - age,
        took=timedelta(seconds=1),
        finding=Finding.unknown(reason, "cannot tell") if reason else Finding.of((), checks=1),
    )


def of_latest_hour(change: Callable[[Rollup], list[Rollup]]) -> list[Rollup]:
    """The counts of a calm month, in whose latest hour something else happened."""
    calm = [each for each in hours("production") if not each.reasons]
    latest = max(each.start for each in calm)
    return [changed for each in calm for changed in (change(each) if each.start == latest else [each])]


@pytest.mark.parametrize("blind", [{"thread", "session", "sync"}, {"thread"}, {"thread", "sync"}])
def test_a_probe_that_could_not_tell_in_the_latest_hour_makes_it_unknown(blind: set[str]) -> None:
    """However many runs of other probes were right; the hour is not good either."""
    dark = of_latest_hour(
        lambda each: [
            replace(each, verdicts={Verdict.UNKNOWN: 9}, reasons={Reason.READ_ONLY: 9}) if each.probe in blind else each
        ]
    )
    part = judged(gathered(counts=dark))
    names = ", ".join(sorted(blind))
    assert part.verdict is Verdict.UNKNOWN
    assert part.summary[0] == f"Nobody knows whether the data is safe now: unknown for {names} (read-only)."
    assert part.summary[-1] == "No users were seen to be affected, by what could tell."
    assert part.hours[max(each.start for each in dark)] in {Hour.BAD, Hour.WORSE}


@pytest.mark.parametrize("left", [[], [Reason.PAUSED]])
def test_an_hour_is_not_good_in_which_a_whole_probe_did_not_look(left: list[Reason]) -> None:
    """Also where nothing of it counts against the objective: it was paused, or simply did not run."""
    dark = of_latest_hour(
        lambda each: (
            [replace(each, verdicts={Verdict.UNKNOWN: 9}, reasons={reason: 9}) for reason in left]
            if each.probe == "thread"
            else [each]
        )
    )
    latest = max(each.start for each in dark)
    part = judged(gathered(counts=dark))
    assert [part.hours[hour] for hour in (latest - HOUR, latest)] == [Hour.GOOD, Hour.UNTOLD]
    assert "could tell and others not" in rendered(report_of(part), Form.HTML)


def test_an_hour_is_good_without_a_probe_that_is_due_more_rarely() -> None:
    """A probe of every six hours is not missed in each."""
    counts = [each for each in hours("production") if each.probe != "sync" or each.start.hour % 6 == 0]
    rare = replace(subject("production"), patience={"sync": timedelta(hours=18)})
    part = judged(replace(gathered(counts=counts), subject=rare))
    assert (part.verdict, Hour.UNTOLD in part.hours.values()) == (Verdict.OK, False)


@pytest.mark.parametrize(
    ("latest", "missed", "why"),
    [
        (
            [run("thread", reason=Reason.READ_ONLY), run("sync", reason=Reason.TIMEOUT)],
            [],
            "sync (timeout) and thread (read-only)",
        ),
        ([run("thread", age=timedelta(hours=3))], [], "thread (no run since 2026-03-31 06:20 UTC)"),
        ([run("thread")], [Reason.PAUSED], "thread (paused)"),
        ([run("thread", age=timedelta(minutes=9))], [Reason.MISSED], "thread (missed)"),
        ([run("thread")], [Reason.MISSED], ""),
        ([run("thread")], [], ""),
    ],
)
def test_the_latest_run_counts_and_not_the_hour(latest: list[RunRecord], missed: list[Reason], why: str) -> None:
    """In the hour of a failure most runs were right; the last one was not, or others were due since and did not run."""
    turns = {
        turn.probe: turn
        for turn in (NotRun(environment="production", probe="thread", at=UNTIL, reason=reason) for reason in missed)
    }
    found = replace(
        gathered(latest={each.probe: each for each in latest}, missed=turns),
        subject=replace(subject("production"), patience={"thread": timedelta(minutes=2)}),
    )
    part = judged(found)
    safe = "The data is safe: no promise was broken in this period."
    assert part.verdict is (Verdict.UNKNOWN if why else Verdict.OK)
    assert part.summary[0] == (f"Nobody knows whether the data is safe now: unknown for {why}." if why else safe)


def test_a_probe_that_never_ran_is_not_safe() -> None:
    """Also where all others are right; of a violation it is told beside what stands."""
    counts = [each for each in gathered().counts if each.probe != "sync"]
    part = judged(gathered(counts=counts))
    assert part.summary[0].endswith("unknown for sync (no run in this period).")
    assert [gap.length for gap in part.gaps if gap.probe == "sync"] != []
    part = judged(gathered(counts=counts, violations=[violation("production", Kind.LOST, DOWN[0], None, id_="x")]))
    assert part.verdict is Verdict.VIOLATED
    assert part.summary[0].endswith("Beyond that nobody knows: unknown for sync (no run in this period).")


@pytest.mark.parametrize(
    ("violations", "losses", "words"),
    [
        ([], [], "the ledger saw none of its own records lost and no outage and no failover."),
        (
            [None, None, DOWN[1]],
            [],
            "2 violations of kind lost stand and 1 violation of kind lost is closed: see above.",
        ),
        ([None], [loss("production")], "the ledger saw no outage and no failover."),
    ],
)
def test_no_loss_is_said_of_the_ledgers_own_records(
    violations: list[datetime | None], losses: list[Loss], words: str
) -> None:
    """What other probes found lost is named where the ledger lost nothing."""
    kept = [violation("production", Kind.LOST, DOWN[0], closed, id_=str(n)) for n, closed in enumerate(violations)]
    part = judged(gathered(violations=kept, losses=losses))
    assert part.events.absent.endswith(words)
    for form, quote in ((Form.HTML, "&#39;"), (Form.MARKDOWN, "'")):
        assert words.replace("'", quote) in rendered(report_of(part), form)


def test_a_pause_is_a_gap_and_not_a_bad_run() -> None:
    """Hours in which all was paused are told as such, and take nothing from the budget."""
    counts = [each for each in hours("production") if not each.reasons]
    latest = max(each.start for each in counts)
    resting = [
        replace(each, verdicts={Verdict.UNKNOWN: 9}, reasons={Reason.PAUSED: 9}) if each.start == latest else each
        for each in counts
    ]
    part = judged(gathered(counts=resting))
    assert part.budget.bad == 0
    assert Gap(since=latest, until=latest + HOUR, why="probing was paused") in part.gaps


def test_what_nobody_could_see_close_counts_no_longer() -> None:
    """An open violation of a probe that is no longer configured stands, and affects nobody; a closed one did."""
    gone = replace(violation("production", Kind.LOST, DOWN[0], None, id_="x"), probe="retired")
    part = judged(gathered(violations=[gone]))
    assert (part.verdict, part.affected.time, part.affected.now) == (Verdict.VIOLATED, timedelta(), False)
    part = judged(gathered(violations=[replace(gone, closed=DOWN[1], stage=Stage.CLOSED)]))
    assert (part.affected.time, part.affected.now) == (DOWN[1] - DOWN[0], False)


def test_a_store_that_cannot_be_used_now_affects_all() -> None:
    """A time that was renewed a minute ago lasts; one that ended before is over."""
    lately = [(UNTIL - HOUR, UNTIL - timedelta(minutes=1))]
    lasts = judged(gathered(unusable=lately))
    assert (lasts.affected.users_now, lasts.verdict) == (120_000, Verdict.UNKNOWN)
    over = judged(gathered(unusable=[(UNTIL - 2 * HOUR, UNTIL - HOUR)]))
    assert (over.affected.users_now, over.affected.time) == (0, HOUR)
    again = judged(gathered(unusable=lately, latest={"thread": run("thread")}))
    assert (again.affected.users_now, again.verdict) == (0, Verdict.OK)


def test_what_lasts_is_as_long_as_its_outage() -> None:
    """Its end is renewed each minute only, and the ledger saw it sooner: it counts from then until now."""
    began = UNTIL - timedelta(seconds=87)
    lasting = replace(outage(), began=began, ended=None, most=timedelta(seconds=87))
    part = judged(
        gathered(
            unusable=[(began + timedelta(seconds=20), UNTIL - timedelta(seconds=7))],
            outages=[lasting],
            latest={"thread": run("thread", reason=Reason.READ_ONLY)},
        )
    )
    assert part.affected.time == timedelta(seconds=87)
    assert "are affected now, for 1 min 27 s in all" in part.summary[-1]


def test_ten_years_are_drawn_small() -> None:
    """However long the period is, the squares are those of six weeks."""
    period = Period.latest(timedelta(days=3650), UNTIL)
    part = judged(Gathered(subject=subject("production"), period=period))
    text = rendered(whole([part], period=period, location="l", version="0"), Form.HTML)
    assert text.count("<rect") <= 43 * 24


def test_costs_are_those_of_the_plan() -> None:
    """What a run sends by its plan, times the runs that took place."""
    part = judged(gathered())
    ran = {
        probe: sum(sum(e.verdicts.values()) for e in gathered().counts if e.probe == probe)
        for probe in ("thread", "session", "sync")
    }
    uses = subject("production").uses
    wanted = sum(
        use.times * use.share * ran[probe] for probe, of in uses.items() for use in of if use.store is Store.REDIS
    )
    assert next(of.operations for of in part.costs if of.store is Store.REDIS) == pytest.approx(wanted)


class Page(HTMLParser):
    """What a page would load or run, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.add(tag)
        given = dict(attrs)
        self.loads += [value for name in ("src", "srcset", "style") if (value := given.get(name))]
        self.ids |= {given["id"] or ""} if "id" in given else set()
        self.links |= {given["href"] or ""} if "href" in given else set()


async def test_the_page_is_one_file_without_scripts(month: Month) -> None:
    """Nothing is loaded, nothing runs, evidence cannot become markup, every link leads to a place on the page."""
    text = rendered(report_of(await month.judged("production"), await month.judged("staging")), Form.HTML)
    page = Page(text)
    assert page.loads == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "b"}
    assert {link.removeprefix("#") for link in page.links} <= page.ids
    assert "&lt;b&gt;not a tag&lt;/b&gt;" in text
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)
    for words in ("Users affected = all users", "Benjamini", "Revenue at risk = revenue per hour"):
        assert words.replace("'", "&#39;") in text


async def test_each_step_has_its_plot_unless_there_are_too_many(month: Month) -> None:
    """Of few environments every step is drawn; of many those that changed and those nearest their budgets."""
    part = await month.judged("production")
    report = report_of(part)
    assert sorted(line.name for line in (*report.foremost(part), *report.others(part))) == [e.name for e in part.steps]
    many = report_of(*(replace(part, name=f"env-{n}") for n in range(5)))
    plotted = [line.name for line in many.foremost(many.environments[0])]
    assert (len(plotted), many.others(many.environments[0])) == (6, [])
    assert ("thread", "reload") in plotted
    assert "has all" in rendered(many, Form.HTML)


async def test_markdown_has_the_same_and_no_markup_of_others(month: Month) -> None:
    """Tables stay tables, whatever evidence says."""
    text = rendered(report_of(await month.judged("production")), Form.MARKDOWN)
    assert "- The data is not safe: a violation stands (ttl\\_missing)." in text or "(ttl_missing)" in text
    assert "nothing \\| \\<b\\>not a tag" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1


@pytest.mark.parametrize(("length", "grain"), [(timedelta(hours=1), HOUR), (timedelta(days=7), HOUR), (MONTH, DAY)])
def test_a_point_is_an_hour_or_a_day(length: timedelta, grain: timedelta) -> None:
    """A week is drawn by hours, more by days; the period begins with a whole hour."""
    period = Period.latest(length, UNTIL)
    assert period.grain == grain
    assert period.since == floor(UNTIL - length, HOUR)
    assert next(period.grains()) == floor(period.since, grain)
    assert period.since.tzinfo is UTC
    assert isinstance(period.since, datetime)
