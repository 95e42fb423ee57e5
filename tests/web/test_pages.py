"""The pages for people, read as a browser would."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
import pytest

from monitor.alerting import violations
from monitor.core.ledger.found import Standing
from monitor.core.slo import ErrorBudget
from monitor.core.verdict import Finding, Kind, Reason, Verdict
from monitor.ports import Store
from monitor.web import guidance, words
from monitor.web.daemon import Notice, Resting
from monitor.web.difference import Piece, compared

from . import AUTH, FINDINGS, LOST, NOON, SCRIPT, TOKEN, Basket, Chat, SmallDaemon, watched, with_text

_VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """The tags and the text of a page. Every element that is opened must be closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.parts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It must be the last one that was opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note it."""
        self.parts.append(data)

    @property
    def text(self) -> str:
        """What one reads, with single spaces."""
        return " ".join(" ".join(self.parts).split())

    def found(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of this kind."""
        return [attributes for name, attributes in self.tags if name == tag]


async def page(client: httpx.AsyncClient, path: str = "/") -> Page:
    """A page that was answered with 200."""
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return Page(answer.text)


async def test_an_environment_tells_how_ledgers_stand(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """How much is remembered, how much of it is lost, how much was looked at, and what the latest failover cost."""
    daemon.kept = {
        Store.POSTGRES: Standing(live=1),
        Store.REDIS: Standing(
            live=7, lost=2, due=10, verified=9, oldest=timedelta(hours=2), recovery_time=timedelta(seconds=1.5)
        ),
    }
    text = (await page(client, "/environments/production")).text
    assert "postgres 1 0 0 0 none was due yet none yet no loss seen none seen" in text
    assert "redis 7 2 0 0 9 of 10 2 h old no loss seen 1.5 s" in text
    assert "2 lost" in (await page(client)).text


async def test_what_is_not_ok_stands_first_and_open(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """The charts of a probe that is ok are folded below its worst p99; those of others are seen at once."""
    await daemon.ran(FINDINGS[Verdict.OK], probe="basket")
    await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="chat")
    seen = await page(client, "/environments/production")
    sections = [each["id"] for each in seen.found("article") if (each["id"] or "").startswith("probe-")]
    assert sections == ["probe-chat", "probe-basket", "probe-session"]
    assert [each["id"] for each in seen.found("details")] == ["steps-basket"]
    assert "2 steps; worst p99 1 % of its budget in the latest 1 run" in seen.text


async def test_probe_that_has_not_run_is_not_ok(client: httpx.AsyncClient) -> None:
    """Before the first run everything is unknown, and nothing is counted as ok."""
    seen = await page(client)
    assert "chat ? unknown not run yet" in seen.text
    assert [each.get("data-verdict") for each in seen.found("td")] == ["unknown", "unknown", None]
    assert "✓ ok 0" in seen.text


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_verdict_is_a_word_and_a_sign_beside_its_colour(
    daemon: SmallDaemon, client: httpx.AsyncClient, verdict: Verdict
) -> None:
    """Each verdict is shown by its word and its sign, in the title too, and not by colour alone."""
    await daemon.all_ran(FINDINGS[verdict])
    seen = await page(client)
    assert f"{words.sign(verdict)} {verdict}" in seen.text
    assert f"{verdict} · Holdfast" in seen.text
    assert f"verdict {verdict}" in [each.get("class") for each in seen.found("span")]


async def test_page_tells_age_duration_reason_and_message(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A probe shows how long ago it ran, how long that took, and why it could not tell."""
    await daemon.ran(FINDINGS[Verdict.UNKNOWN])
    daemon.clock.moment += timedelta(minutes=2, seconds=5)
    assert "chat ? unknown unreachable, 2 min ago" in (await page(client)).text
    text = (await page(client, "/environments/production")).text
    assert "chat ? unknown unreachable A chat comes back. latest run 2 min 5 s ago, took 250 ms, 0 checks" in text
    assert "connection refused" in text
    assert "chat cannot tell: nothing listens there, or the connection broke." in text


async def test_open_violations_come_first(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """An open violation stands above the environments, with what was expected and found; an acknowledged one below."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="chat")
    await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="basket")
    acknowledged = next(kept.id for kept in daemon.journal.standing() if kept.probe == "basket")
    await client.post(f"/api/v1/violations/{acknowledged}/ack", json={"note": "known since May"}, headers=AUTH)
    text = (await page(client)).text
    first, rest = text.split(" Environments all ", maxsplit=1)
    assert "1 open violation lost : message 3 of 7 after reload production · chat · open" in first
    assert f"expected {LOST.expected} actual {LOST.actual}" in first
    assert "basket" not in first
    assert "Acknowledged, and still broken lost : message 3 of 7 after reload production · basket" in rest
    assert "note known since May" in rest


async def test_many_violations_leave_room_for_the_environments(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """The latest few stand open, some more are folded, and a link above them leads to what is violated."""
    for number in range(30):
        daemon.watch(watched(f"shop-{number:03d}", Chat()))
        await daemon.ran(FINDINGS[Verdict.VIOLATED], environment=f"shop-{number:03d}")
    seen = await page(client)
    assert "30 promises are broken 30 environments are violated, of 31 30 open violations" in seen.text
    assert "#environments" in [each["href"] for each in seen.found("a")]
    assert (len(seen.found("article")), len(seen.found("details"))) == (20, 1)
    assert "14 more, opened before" in seen.text
    assert "These are the latest 20; the API lists all" in seen.text


async def test_page_tells_what_is_paused_left_out_missing_and_wrong(
    daemon: SmallDaemon, client: httpx.AsyncClient
) -> None:
    """A pause, a probe that does not run, a sick store, and what is wrong with the daemon are said in words."""
    daemon.pauses["production"] = NOON + timedelta(minutes=30)
    daemon.lacking = ["the first round of runs is not done"]
    daemon.journal.trouble = "the state file /x cannot be used: disk full; free some space"
    daemon.own_notices = [Notice("configuration", "the new one cannot be used: holdfast.yaml:3: x: unknown key")]
    daemon.sick = {Store.POSTGRES: Resting(NOON + timedelta(seconds=40), Reason.TIMEOUT, "nothing answered")}
    text = (await page(client)).text
    assert "Configuration: the new one cannot be used: holdfast.yaml:3: x: unknown key" in text
    assert "Not ready yet the first round of runs is not done" in text
    assert "State database: the state file /x cannot be used: disk full; free some space" in text
    assert "production ? unknown paused postgres is left alone" in text
    text = (await page(client, "/environments/production")).text
    assert "postgres is left alone because runs against it failed. It is tried next in 40 s, at 2026" in text
    assert "Probing is paused for another 30m, until 2026-03-01T12:30:00.000Z." in text
    assert "session does not run here needs redis, which this environment does not have" in text
    assert "postgres is left alone after failures: no answer came in time. Runbook: HoldfastEnv" in text


async def test_what_a_run_did_not_check_is_said(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A probe that was ok tells on each page and in the API what it left out, as text."""
    sentence = "replicas: none <b>is</b> configured"
    record = await daemon.ran(Finding.of((), checks=2, left_out=[sentence]))
    assert "1 part left out" in (await page(client)).text
    assert f"1 part is left out {sentence}" in (await page(client, "/environments/production")).text
    assert f"Left out {sentence}" in (await page(client, f"/runs/{record.run_id}")).text
    health = (await client.get("/health/production")).json()
    assert health["probes"]["chat"]["left_out"] == [sentence]


async def test_matrix_has_a_cell_for_each_environment_and_probe(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Where a probe does not run in one environment, its cell says so and does not look well."""
    daemon.watch(watched("staging", Chat()))
    daemon.watch(watched("only-basket", Basket()))
    await daemon.all_ran(FINDINGS[Verdict.OK])
    seen = await page(client)
    assert len(seen.found("td")) == 3 * 3
    assert [each.get("class") for each in seen.found("td")].count("cell absent") == 1 + 2 + 2


async def test_without_environments_the_page_says_so(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A daemon that watches nothing is unknown, not ok."""
    daemon.known.clear()
    text = (await page(client)).text
    assert "? unknown No environment is watched" in text


async def test_violation_page_has_its_evidence_and_its_life(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A violation's page has what differs, its evidence as a tree and whole, and its timeline."""
    alike = replace(LOST, expected="sha256 ab12 of 7 bytes", actual="sha256 cd34 of 7 bytes")
    record = await daemon.ran(Finding.of([alike], checks=1))
    daemon.clock.moment += timedelta(hours=3)
    (kept,) = daemon.journal.standing()
    seen = await page(client, f"/violations/{kept.id}")
    assert "Expected and found expected sha256 ab12 of 7 bytes actual sha256 cd34 of 7 bytes" in seen.text
    assert (len(seen.found("del")), len(seen.found("ins"))) == (1, 1)
    assert "probe chat: A chat comes back." in seen.text
    assert f"2026-03-01 12:00:00 UTC opened, by run {record.run_id} , 3 h ago" in seen.text
    assert "What was acknowledged cannot be read." in seen.text
    assert "Evidence missing m3 again yes read_at none server address 10.0.0.1" in seen.text
    assert '"missing": [ "m3" ], "again": true, "read_at": null' in seen.text
    assert "HoldfastDataLost" in seen.text


async def test_a_loss_has_its_next_step_and_its_own_end(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """What the ledger misses says what can be done; acknowledged it ends as accepted, and not as all right."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="durability")
    (kept,) = daemon.journal.standing()
    path = f"/violations/{kept.id}"
    for where in (path, f"{path}.md"):
        assert "disk and logs before anything is restored or failed back." in (await client.get(where)).text
    assert (
        f"If this loss is known and accepted: holdfast violations ack {kept.id[-12:]} (the next"
        in (await page(client, path)).text
    )
    await client.post(f"/api/v1/violations/{kept.id}/ack", json={}, headers=AUTH)
    assert "If this loss is known" not in (await page(client, path)).text
    await daemon.ran(FINDINGS[Verdict.OK], probe="durability")
    text = (await page(client, path)).text
    assert "2026-03-01 12:00:00 UTC closed, acknowledged: the loss is accepted" in text
    assert "all was right" not in text


async def test_a_violation_that_healed_has_no_next_step(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """What is closed needs nobody, and says what closed it."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED])
    (kept,) = daemon.journal.standing()
    path = f"/violations/{kept.id}"
    assert "Look again with holdfast check production --probe chat : found" in (await page(client, path)).text
    await daemon.ran(FINDINGS[Verdict.OK])
    text = (await page(client, path)).text
    assert "Next step" not in text
    assert "closed, by the first run in which all was right" in text


async def test_what_left_the_configuration_has_its_pages(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A violation and a run of an environment that is watched no more can still be read."""
    record = await daemon.ran(FINDINGS[Verdict.VIOLATED], environment="retired")
    (kept,) = daemon.journal.standing()
    assert "retired, which is watched no more" in (await page(client, f"/violations/{kept.id}")).text
    assert "retired, which is watched no more" in (await page(client, f"/runs/{record.run_id}")).text


async def test_violation_that_is_not_there_is_plain_404(client: httpx.AsyncClient) -> None:
    """Outside the API an error is plain text."""
    answer = await client.get("/violations/<b>")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert answer.text.startswith("there is no violation '<b>'\n")


@pytest.mark.parametrize("path", ["/nothing", "/environments/nowhere", "/a/b/c", "/violations/x%2Fy", "/?verdict=fine"])
async def test_what_is_not_there_leads_people_back(client: httpx.AsyncClient, path: str) -> None:
    """A browser gets a page with the way to the status page; the API answers a browser in JSON all the same."""
    answer = await client.get(path, headers={"accept": "text/html,*/*;q=0.8"})
    assert answer.status_code in {400, 404}
    (back,) = [each["href"] or "" for each in Page(answer.text).found("a")][-4:-3]
    assert httpx.URL("http://holdfast").join(path).join(back).path == "/"
    answer = await client.get(f"/api/v1{path}", headers={"accept": "text/html"})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("text", [SCRIPT, '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "' onclick='x"])
async def test_text_from_outside_stays_text(daemon: SmallDaemon, client: httpx.AsyncClient, text: str) -> None:
    """Whatever stands in a violation, a message, a note, a label or a reason is shown as it is, and never run."""
    hostile = watched(text, Chat(), left_out={"session": text, text: text})
    daemon.watch(hostile)
    await daemon.ran(Finding.of([with_text(LOST, text)], checks=1), environment=text)
    await daemon.ran(Finding.unknown(Reason.INTERNAL, text))
    daemon.pauses[text] = NOON + timedelta(hours=1)
    daemon.journal.trouble = text
    daemon.lacking = [text]
    (kept,) = daemon.journal.standing()
    await client.post(f"/api/v1/violations/{kept.id}/ack", json={"note": text}, headers=AUTH)
    daemon.journal.trouble = text
    run = daemon.journal.latest(text)["chat"].run_id
    environment = f"/environments/{quote(text, safe='')}" if "/" not in text else "/"  # no name of one has a slash
    for path in ("/", f"/violations/{kept.id}", environment, f"/runs/{run}"):
        seen = await page(client, path)
        assert [each["src"] for each in seen.found("script") if not (each["src"] or "").endswith("holdfast.js")] == []
        assert seen.found("img") == []
        assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
        assert " ".join(text.split()) in seen.text


@pytest.mark.parametrize(
    "path", ["/", "violation", "/environments/production", "/environments/production?range=7d", "run"]
)
async def test_page_needs_nothing_from_elsewhere(daemon: SmallDaemon, client: httpx.AsyncClient, path: str) -> None:
    """No inline script, no style, no foreign address; every link and asset of the page answers."""
    record = await daemon.ran(FINDINGS[Verdict.VIOLATED])
    if path == "violation":
        path = f"/violations/{daemon.journal.standing()[0].id}"
    if path == "run":
        path = f"/runs/{record.run_id}"
    seen = await page(client, path)
    assert seen.found("style") == []
    assert not [attributes for _, attributes in seen.tags if "style" in attributes]
    links = [each["href"] or "" for tag in ("a", "link") for each in seen.found(tag)]
    links += [each["src"] or "" for each in seen.found("script")]
    assert len(links) > 2
    for link in links:
        assert not link.startswith(("http", "//", "/"))
        assert (await client.get(httpx.URL("http://holdfast").join(path).join(link))).status_code == 200


async def test_static_files_are_asked_for_again_by_their_mark(client: httpx.AsyncClient) -> None:
    """The style sheet has an ETag, and is not sent twice."""
    first = await client.get("/static/holdfast.css")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/static/holdfast.css", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    for path in ("/static/", "/static/../app.py", "/static/%2e%2e/app.py", "/static/nothing.css"):
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(microseconds=250), "0.25 ms"),
        (timedelta(milliseconds=12), "12 ms"),
        (timedelta(seconds=1.25), "1.25 s"),
        (timedelta(seconds=185), "3 min 5 s"),
    ],
)
def test_lengths_are_short(length: timedelta, text: str) -> None:
    """A length has three figures at most, or its two largest units."""
    assert words.length(length) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=2, seconds=5), "2 h"),
        (timedelta(days=4, hours=1, minutes=9), "4 d 1 h"),
    ],
)
def test_ages_are_rough(length: timedelta, text: str) -> None:
    """An age has its two largest units."""
    assert words.rough(length) == text


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (12, "12th"), (81, "81st"), (1113, "1,113th"), (1123, "1,123rd")]
)
def test_places_in_a_row_are_as_one_says_them(number: int, text: str) -> None:
    """The last figure tells, but for the teens."""
    assert words.ordinal(number) == text


def test_nothing_hides_in_a_text() -> None:
    """Control characters, half surrogate pairs and marks that turn the direction of text become visible."""
    assert words.visible("a\x00b\u202ec\ud800\td\ne 漢") == "a\\x00b\\u202ec\\ud800\\td\ne 漢"


def test_evidence_that_is_alike_is_a_table() -> None:
    """A list of flat things with the same names is a table; what is nested, mixed or alone is a tree."""
    assert words.is_table([{"step": "a", "took": 1}, {"step": "b", "took": None}])
    for value in ([{"a": 1}], [{"a": [1]}, {"a": 2}], [1, 2], [{}, {}], {"a": 1}, [{"a": 1}, 2]):
        assert not words.is_table(value)
    assert words.columns([{"a": 1}, {"b": 2, "a": 3}]) == ["a", "b"]


@pytest.mark.parametrize(
    ("of", "text"), [(1, "100 %"), (0.9999, "99.9 %"), (0.5, "50 %"), (0, "0 %"), (12.5, "1250 %")]
)
def test_shares_are_never_rounded_to_all(of: float, text: str) -> None:
    """What is nearly all is not all."""
    assert words.share(of) == text


def test_a_difference_has_all_of_both_texts() -> None:
    """Both texts come back whole, and what only one of them has is marked."""
    left, right = compared("message 3 of 7 is red", "message 4 of 7 is red")
    assert ["".join(each.text for each in side) for side in (left, right)] == [
        "message 3 of 7 is red",
        "message 4 of 7 is red",
    ]
    assert [[each.text for each in side if each.only_here] for side in (left, right)] == [["3"], ["4"]]
    assert compared("x" * 5000, "y") == ([Piece("x" * 5000, only_here=False)], [Piece("y", only_here=False)])
    for other in ("44 of 50, the first that is missing is number 7", "absent", ""):
        assert compared("all 50", other) == ([Piece("all 50", only_here=False)], [Piece(other, only_here=False)])


def test_runbooks_are_those_of_the_alerts() -> None:
    """Every kind leads to the runbook of the alert that tells of it."""
    alerts = {
        "HoldfastDataLeaked": violations.LEAKED,
        "HoldfastDataLost": violations.LOST,
        "HoldfastDataLate": violations.LATE,
        "HoldfastDataWrong": violations.WRONG,
    }
    assert {name: {kind for kind in Kind if guidance.runbook_of(kind) == name} for name in alerts} == alerts


async def test_environments_are_found_filtered_and_paged(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """By words, by verdict and by page, in links and a form; what finds nothing says so and leads back."""
    for number in range(120):
        daemon.watch(watched(f"shop-{number:03d}", Chat()))
    await daemon.ran(FINDINGS[Verdict.VIOLATED], environment="shop-077")
    seen = await page(client)
    assert "121 environments, page 1 of 3" in seen.text
    assert len(seen.found("tr")) == 51
    assert "./?page=2#environments" in [each["href"] for each in seen.found("a")]
    assert "121 environments, page 3 of 3" in (await page(client, "/?page=3")).text
    assert "1 environment ;" in (await page(client, "/?verdict=violated&q=SHOP")).text.replace(
        "1 environment;", "1 environment ;"
    )
    assert (
        "No environment that is slow fits “nowhere”. Show all 121"
        in (await page(client, "/?q=nowhere&verdict=slow")).text
    )
    assert "There is no page 9: the last is page 3" in (await page(client, "/?page=9")).text
    assert (await client.get("/?verdict=fine")).status_code == 400


async def test_a_violation_is_acknowledged_by_its_form(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """With the token in the form it is acknowledged, and the browser led back; without it, the page says why not."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED])
    (kept,) = daemon.journal.standing()
    path = f"/violations/{kept.id}"
    wrong = await client.post(path, data={"token": "wrong", "note": "<b>mine"})
    assert wrong.status_code == 401
    assert "Not acknowledged: the token is not the configured one" in Page(wrong.text).text
    assert "wrong" not in [each.get("value") for each in Page(wrong.text).found("input")]
    assert "<b>mine" in [each.get("value") for each in Page(wrong.text).found("input")]
    assert (await client.post(path, json={"token": TOKEN})).status_code == 415
    assert (await client.post(path, data={"token": TOKEN, "note": "x" * 2001})).status_code == 400
    assert daemon.journal.standing()[0].acknowledged is None
    right = await client.post(path, data={"token": f" {TOKEN} ", "note": "mine"})
    assert (right.status_code, right.headers["location"]) == (303, kept.id)
    assert "acknowledged, 0 s ago Note: mine" in (await page(client, path)).text
    await daemon.ran(FINDINGS[Verdict.OK])
    assert (await client.post(path, data={"token": TOKEN})).status_code == 409


async def test_a_violation_as_markdown_is_only_text(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Whatever stands in it, it is no link, no picture, no end of its own code."""
    await daemon.ran(Finding.of([with_text(LOST, "![x](y) ``` | <i> \n# h")], checks=1))
    (kept,) = daemon.journal.standing()
    answer = await client.get(f"/violations/{kept.id}.md")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    lines = answer.text.split("\n")
    assert lines[0] == r"## lost: \!\[x\](y) \`\`\` \| \<i\> \# h"
    assert "````json" in lines
    again = f"2. Look again with `holdfast check production --probe {kept.probe}`: found twice, it is real."
    assert again in lines


async def test_a_run_has_its_steps(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A run's page has a line of time and figures of its steps; an id that nobody knows is 404."""
    record = await daemon.ran(FINDINGS[Verdict.OK])
    seen = await page(client, f"/runs/{record.run_id}")
    assert "reload 0 ms 20 ms 2 s 1 %" in seen.text
    assert len(seen.found("svg")) == 2
    assert (await client.get("/runs/nothing")).status_code == 404


async def test_an_environment_has_its_past(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Each step has its chart with a budget, of single runs or of hours; a sick state database leaves the rest."""
    await daemon.ran(FINDINGS[Verdict.OK])
    text = (await page(client, "/environments/production")).text
    assert "chat: reload latest 20 ms, lowest 20 ms, highest 20 ms at 2026-03-01 11:59 UTC. The limit is 2 s." in text
    for shown in ("24h", "7d", "30d"):
        assert "nothing was measured" in (await page(client, f"/environments/production?range={shown}")).text
    assert (await client.get("/environments/production?range=2h")).status_code == 400
    assert (await client.get("/environments/produktion")).text.endswith("did you mean production?\n")
    daemon.state.trouble = "disk full"
    text = (await page(client, "/environments/production")).text
    assert "State database: disk full. What it keeps is not shown below." in text
    assert "chat ✓ ok A chat comes back." in text


async def test_what_is_left_of_the_error_budget_is_said(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """In the matrix and on the environment's page; what is overspent is called so."""
    window = timedelta(days=30)
    daemon.budgets["production"] = ErrorBudget(objective=0.99, window=window, good=995, bad=5)
    assert "50 % of the error budget left" in (await page(client)).text
    daemon.budgets["production"] = ErrorBudget(objective=0.99, window=window, good=950, bad=50)
    assert "error budget overspent" in (await page(client)).text
    text = (await page(client, "/environments/production")).text
    assert "50 bad runs of 1,000 in 30 d, 99 % is the objective" in text
