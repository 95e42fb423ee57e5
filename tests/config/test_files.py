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
    """A file of the good kind is accepted, and is the only file that was read."""
    assert (path,) == load(path, probes=PROBES, environ=ENVIRON).files


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_file_is_refused(path: Path) -> None:
    """A bad file is refused with exactly the problems that its last comments say, and without any secret."""
    lines = path.read_text().splitlines()
    expected = [line.removeprefix(EXPECT) for line in lines if line.startswith(EXPECT)]
    with pytest.raises(ConfigError) as caught:
        load(path, probes=PROBES, environ=ENVIRON)
    assert expected == [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
