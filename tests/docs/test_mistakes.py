"""The checker of documents is itself checked: each mistake that is planted is named, and the right page is silent."""

from __future__ import annotations

import pytest

from tests.docs.mistakes import Known, mistakes
from tests.docs.pages import Page
from tests.docs.test_documents import ROOT

RIGHT = """# A page

It [leads](README.md) somewhere, [there](README.md#try-it), [here](#a-page) and [out](https://holdfast.example/x).
`holdfast violations show ID` and `holdfast setup --print` are commands, `holdfast COMMAND --help` is a form,
`holdfast_runs_total` is a metric, `run.finished` an event, `make check` and `python3 dev.py soak --for 1h` are tasks.

```sh
HOLDFAST_CONFIG=my.yaml holdfast check production --format junit > round.xml || exit $?
sudo -u holdfast /opt/holdfast/bin/holdfast run --config /etc/holdfast/holdfast.yaml &
kubectl exec deploy/holdfast -- holdfast ledger list --format json | jq .
python3 dev.py run config check
cat > page.txt <<'TEXT'
holdfast what stands here is a document
TEXT
ExecStart=/opt/holdfast/bin/holdfast run --config /etc/holdfast/holdfast.yaml
command_line /opt/holdfast/bin/holdfast check $ARG1$
17 * * * * /opt/holdfast/bin/holdfast check -q
```

```yaml
jobs: [{run: "holdfast check --quiet"}]
containers: [{image: "registry.example/holdfast:1", args: [check, production]}]
```
"""
PLANTED = {
    ("[leads](README.md)", "[leads](NOWHERE.md)"): "the link NOWHERE.md leads to nothing",
    ("README.md#try-it", "README.md#try-that"): "names a heading that is not there",
    ("(#a-page)", "(#another-page)"): "names a heading that is not there",
    ("holdfast violations show ID", "holdfast violations shew ID"): "there is no command 'shew'",
    ("holdfast setup --print", "holdfast setup --prinnt"): "No such option: --prinnt",
    ("holdfast_runs_total", "holdfast_walks_total"): "there is no metric holdfast_walks_total",
    ("run.finished", "run.ended"): "nothing logs the event run.ended",
    ("make check", "make chekc"): "there is no `make chekc`",
    ("dev.py soak", "dev.py soap"): "there is no `dev.py soap`",
    ("--format junit", "--format xml"): "'xml' is not one of",
    ("holdfast run --config", "holdfast ran --config"): "there is no command 'ran'",
    ("ExecStart=/opt/holdfast/bin/holdfast run", "ExecStart=/opt/holdfast/bin/holdfast rn"): "no command 'rn'",
    ("holdfast check $ARG1$", "holdfast chk $ARG1$"): "there is no command 'chk'",
    ("holdfast check -q", "holdfast check -Q"): "No such option: -Q",
    ("holdfast ledger list --format", "holdfast ledger list --formt"): "No such option: --formt",
    ("dev.py run config check", "dev.py run config chekc"): "there is no command 'chekc'",
    ("check --quiet", "check --quite"): "No such option: --quite",
    ("args: [check, production]", "args: [check, production, --prob]"): "No such option: --prob",
    ("containers: [", "containers: ]"): "a block is no YAML",
    ("`holdfast_runs_total`", "`holdfast:no_such_rule:rate5m`"): "no rule records holdfast:no_such_rule:rate5m",
    ("<<'TEXT'", "<<'TXT'"): "there is no command 'what'",
}


def found(text: str, known: Known) -> list[str]:
    """What is wrong with a page that would stand beside the README."""
    return mistakes(Page(ROOT / "PAGE.md", text), known)


def test_a_right_page_is_silent(known: Known) -> None:
    """Nothing is said where nothing is wrong."""
    assert found(RIGHT, known) == []


@pytest.mark.parametrize(("change", "complaint"), PLANTED.items(), ids=lambda part: str(part)[:40])
def test_a_planted_mistake_is_named(change: tuple[str, str], complaint: str, known: Known) -> None:
    """One mistake, one sentence, and it says what is wrong."""
    right, wrong = change
    assert right in RIGHT
    (said,) = found(RIGHT.replace(right, wrong, 1), known)
    assert complaint in said


def test_documents_are_read_at_all() -> None:
    """Every heading of the README is an anchor, and it has commands and links."""
    page = Page.read(ROOT / "README.md")
    assert {"try-it", "more"} <= page.anchors
    assert "docs/architecture.md" in page.links
    assert page.blocks
