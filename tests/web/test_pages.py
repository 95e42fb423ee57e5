"""The pages for people, read as a browser would."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser

import httpx
import pytest

from monitor.core.ledger.found import Standing
from monitor.core.verdict import Finding, Reason, Verdict
from monitor.ports import Store
from monitor.web import words
from monitor.web.daemon import Notice, Resting

from . import AUTH, FINDINGS, LOST, NOON, SCRIPT, Basket, Chat, SmallDaemon, watched, with_text

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


async def test_the_page_tells_how_ledgers_stand(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """How much is remembered, how much of it is lost, how much was looked at, and what the latest failover cost."""
    daemon.kept = {
        Store.POSTGRES: Standing(live=1),
        Store.REDIS: Standing(
            live=7, lost=2, due=10, verified=9, oldest=timedelta(hours=2), recovery_time=timedelta(seconds=1.5)
        ),
    }
    text = (await client.get("/")).text
    assert "Ledger of postgres: 1 acknowledged record to look for again" in text
    assert "none was due yet" in text
    assert "Ledger of redis: 7 acknowledged records to look for again, <strong>2 lost</strong>" in text
    assert "9 of 10 looks taken" in text
    assert "oldest found 2 h old" in text
    assert "latest outage of writes lasted at the most 1.5 s" in text


async def test_probe_that_has_not_run_is_not_ok(client: httpx.AsyncClient) -> None:
    """Before the first run everything is unknown, and the word ok is nowhere."""
    seen = await page(client)
    assert "chat ? unknown has not run yet" in seen.text
    assert "not run yet" in seen.text
    assert "✓" not in seen.text
    assert " ok " not in seen.text


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_verdict_is_a_word_and_a_sign_beside_its_colour(
    daemon: SmallDaemon, client: httpx.AsyncClient, verdict: Verdict
) -> None:
    """Each verdict is shown by its word and its sign, in the title too, and not by colour alone."""
    await daemon.all_ran(FINDINGS[verdict])
    seen = await page(client)
    assert f"{words.sign(verdict)} {verdict}" in seen.text
    assert seen.text.startswith(f"{verdict} · Holdfast")
    assert f"verdict {verdict}" in [each.get("class") for each in seen.found("span")]


async def test_page_tells_age_duration_reason_and_message(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A probe shows how long ago it ran, how long that took, and why it could not tell."""
    await daemon.ran(FINDINGS[Verdict.UNKNOWN])
    daemon.clock.moment += timedelta(minutes=2, seconds=5)
    seen = await page(client)
    assert '<span class="reason">unreachable</span> <span class="age">' in (await client.get("/")).text
    assert "chat ? unknown unreachable 2 min 5 s ago, took 250 ms connection refused A chat comes back." in seen.text


async def test_open_violations_come_first(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """An open violation stands above the environments, with what was expected and found; an acknowledged one below."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="chat")
    await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="basket")
    acknowledged = next(kept.id for kept in daemon.journal.standing() if kept.probe == "basket")
    await client.post(f"/api/v1/violations/{acknowledged}/ack", json={"note": "known since May"}, headers=AUTH)
    text = (await page(client)).text
    first, rest = text.split(" Environments ", maxsplit=1)
    assert "1 open violation lost: message 3 of 7 after reload production · chat · open" in first
    assert f"expected {LOST.expected} actual {LOST.actual}" in first
    assert "basket" not in first
    assert "Acknowledged, and still broken lost: message 3 of 7 after reload production · basket" in rest
    assert "note known since May" in rest


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
    assert "postgres is left alone because runs against it failed. It is tried next in 40 s, at 2026" in text
    assert "Configuration: the new one cannot be used: holdfast.yaml:3: x: unknown key" in text
    assert "Probing is paused for another 30m, until 2026-03-01T12:30:00.000Z." in text
    assert "session does not run here: needs redis, which this environment does not have" in text
    assert "Not ready yet the first round of runs is not done" in text
    assert "State database: the state file /x cannot be used: disk full; free some space" in text


async def test_what_a_run_did_not_check_is_said(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A probe that was ok tells on the page and in the API what it left out, as text."""
    sentence = "replicas: none <b>is</b> configured"
    await daemon.ran(Finding.of((), checks=2, left_out=[sentence]))
    assert f"1 part is left out {sentence}" in (await page(client)).text
    health = (await client.get("/health/production")).json()
    assert health["probes"]["chat"]["left_out"] == [sentence]


async def test_matrix_has_a_cell_for_each_environment_and_probe(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Where a probe does not run in one environment, its cell says so and does not look well."""
    daemon.watch(watched("staging", Chat()))
    daemon.watch(watched("only-basket", Basket()))
    await daemon.all_ran(FINDINGS[Verdict.OK])
    seen = await page(client)
    assert len(seen.found("td")) == 3 * 3
    assert [each.get("class") for each in seen.found("td")].count("absent") == 1 + 2 + 2


async def test_without_environments_the_page_says_so(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A daemon that watches nothing is unknown, not ok."""
    daemon.known.clear()
    text = (await page(client)).text
    assert "No environment is watched." in text
    assert "Holdfast ? unknown" in text


async def test_violation_page_has_the_evidence_as_text(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A violation's page has its life and its evidence, readable, one thing a line."""
    record = await daemon.ran(FINDINGS[Verdict.VIOLATED])
    daemon.clock.moment += timedelta(hours=3)
    (kept,) = daemon.journal.standing()
    text = (await page(client, f"/violations/{kept.id}")).text
    assert f"expected {LOST.expected} actual {LOST.actual}" in text
    assert "probe chat: A chat comes back." in text
    assert f"opened 2026-03-01 12:00:00 UTC, 3 h ago, by run {record.run_id}" in text
    raw = (await client.get(f"/violations/{kept.id}")).text
    evidence = raw.split("<pre")[1].split("</pre>")[0].split(">", maxsplit=1)[1]
    assert evidence.split("\n") == [
        "missing:",
        "  - m3",
        "again: yes",
        "read_at: none",
        "server:",
        "  address: 10.0.0.1",
        f"run_id: {record.run_id}",
        "steps:",
        "  - step: reload, after_ms: 0.0, took_ms: 20.0",
    ]


async def test_a_loss_has_its_next_step_and_its_own_end(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """What the ledger misses says what can be done; acknowledged it ends as accepted, and not as all right."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="durability")
    (kept,) = daemon.journal.standing()
    path = f"/violations/{kept.id}"
    seen = await page(client, path)
    assert (
        f"Next step If this loss is known and accepted: holdfast violations ack {kept.id[-12:]} (the next" in seen.text
    )
    assert len(seen.found("code")) == 3
    await client.post(f"/api/v1/violations/{kept.id}/ack", json={}, headers=AUTH)
    assert "Next step" not in (await page(client, path)).text
    await daemon.ran(FINDINGS[Verdict.OK], probe="durability")
    text = (await page(client, path)).text
    assert "closed 2026-03-01 12:00:00 UTC, acknowledged: the loss is accepted" in text
    assert "all was right" not in text


async def test_a_violation_that_heals_has_no_next_step(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Its own check tells when all is right again, acknowledged or not."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED])
    (kept,) = daemon.journal.standing()
    path = f"/violations/{kept.id}"
    assert "Next step" not in (await page(client, path)).text
    await client.post(f"/api/v1/violations/{kept.id}/ack", json={}, headers=AUTH)
    await daemon.ran(FINDINGS[Verdict.OK])
    assert "UTC, by the first run in which all was right" in (await page(client, path)).text


async def test_violation_of_a_retired_environment_has_a_page(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """What left the configuration can still be read."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED], environment="retired")
    (kept,) = daemon.journal.standing()
    assert "environment retired probe chat opened" in (await page(client, f"/violations/{kept.id}")).text


async def test_violation_that_is_not_there_is_plain_404(client: httpx.AsyncClient) -> None:
    """Outside the API an error is plain text."""
    answer = await client.get("/violations/<b>")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert answer.text.startswith("there is no violation '<b>'\n")


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
    for path in ("/", f"/violations/{kept.id}"):
        seen = await page(client, path)
        assert seen.found("script") == []
        assert seen.found("img") == []
        assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
        assert " ".join(text.split()) in seen.text


@pytest.mark.parametrize("path", ["/", "violation"])
async def test_page_needs_nothing_from_elsewhere(daemon: SmallDaemon, client: httpx.AsyncClient, path: str) -> None:
    """No script, no inline style, no foreign address; every link and asset of the page answers."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED])
    if path == "violation":
        path = f"/violations/{daemon.journal.standing()[0].id}"
    seen = await page(client, path)
    assert seen.found("script") == []
    assert seen.found("style") == []
    assert not [attributes for _, attributes in seen.tags if "style" in attributes]
    links = [each["href"] or "" for tag in ("a", "link") for each in seen.found(tag)]
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


def test_nothing_hides_in_a_text() -> None:
    """Control characters, half surrogate pairs and marks that turn the direction of text become visible."""
    assert words.visible("a\x00b\u202ec\ud800\td\ne 漢") == "a\\x00b\\u202ec\\ud800\\td\ne 漢"


def test_evidence_is_indented_text() -> None:
    """Nested evidence is indented; lists and mappings that are short and plain stand on one line."""
    value = {
        "empty": {},
        "none": [],
        "lines": "a\nb",
        "nested": {"deep": {"x": 1, "y": False}, "list": [[1, 2], {"k": "v" * 100}, {"k": "v", "n": None}]},
    }
    assert words.evidence(value).split("\n") == [
        "empty: none",
        "none: none",
        "lines:",
        "  a",
        "  b",
        "nested:",
        "  deep:",
        "    x: 1",
        "    y: no",
        "  list:",
        "    -",
        "      - 1",
        "      - 2",
        "    -",
        "      k: " + "v" * 100,
        "    - k: v, n: none",
    ]
    assert words.evidence({}) == ""
