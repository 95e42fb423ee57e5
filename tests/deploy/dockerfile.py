"""A Dockerfile as its instructions."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction and what follows it, with lines that continue joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its arguments as a shell or JSON would split them, without flags such as --from or HEALTHCHECK's CMD."""
        bare = re.sub(r"^(?:--\S+\s+|CMD\s+)+", "", self.text)
        found: list[str] = json.loads(bare) if bare.startswith("[") else shlex.split(bare)
        return found


def stages(file: Path) -> dict[str, list[Instruction]]:
    """The instructions of each stage, in order; the last is named `final`, and what stands before the first `""`."""
    text = re.sub(r"^#.*\n", "", file.read_text("utf-8"), flags=re.MULTILINE)
    found: dict[str, list[Instruction]] = {"": []}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line.strip():
            continue
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found[rest.partition(" AS ")[2] or "final"] = []
        list(found.values())[-1].append(Instruction(name, rest))
    return found
