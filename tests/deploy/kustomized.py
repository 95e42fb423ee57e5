"""What `kubectl kustomize` makes of a folder, as far as deploy/kubernetes uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import yaml

Thing: TypeAlias = dict[str, Any]


def kustomized(folder: Path) -> dict[tuple[str, str], Thing]:
    """Every resource by kind and name, the overlay's patches, images and generated ConfigMaps applied."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    found: dict[tuple[str, str], Thing] = {}
    for name in plan.get("resources", []):
        path = folder / name
        found |= kustomized(path.resolve()) if path.is_dir() else {_key(thing): thing for thing in things(path)}
    for patch in plan.get("patches", []):
        for thing in things(folder / patch["path"]):
            found[_key(thing)] = _merged(found[_key(thing)], thing)
    for made in plan.get("configMapGenerator", []):
        data = {Path(name).name: (folder / name).read_text("utf-8") for name in made["files"]}
        meta = {"name": made["name"]}
        found["ConfigMap", made["name"]] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    return found


def things(path: Path) -> list[Thing]:
    """The documents in a file."""
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def _key(thing: Thing) -> tuple[str, str]:
    return thing["kind"], thing["metadata"]["name"]


def _merged(below: Any, above: Any) -> Any:
    """A strategic merge: keys one by one, lists of things with names by these, every other list as a whole."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merged(below[key], value) if key in below else value for key, value in above.items()}
    if _named(below) and _named(above):
        own, more = ({item["name"]: item for item in items} for items in (below, above))
        return list(_merged(own, more).values())
    return above


def _named(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict) and "name" in item for item in items)
