"""One file for each rule: what is accepted, and the exact words of what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.configfile import ConfigError, load

from . import ENVIRON, PROBES

HERE = Path(__file__).parent
GOOD = sorted((HERE / "good").glob("*.yaml"))
BAD = sorted((HERE / "bad").glob("*.yaml"))
EXPECT = "# expect: "


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_file_loads(path: Path) -> None:
    """A file of the good kind is accepted, and the only other files that were read are bindings."""
    own, *others = load(path, probes=PROBES, environ=ENVIRON).files
    assert (path, {path.parent / "bindings"}) == (own, {other.parent for other in others} or {path.parent / "bindings"})


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_file_is_refused(path: Path) -> None:
    """A bad file is refused with exactly the problems that its last comments say, and without any secret."""
    lines = path.read_text().splitlines()
    expected = [line.removeprefix(EXPECT) for line in lines if line.startswith(EXPECT)]
    with pytest.raises(ConfigError) as caught:
        load(path, probes=PROBES, environ=ENVIRON)
    told = [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]
    assert expected == [message.replace(f"{path.parent}/", "") for message in told]
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
