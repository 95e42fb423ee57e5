"""Environments that are bound to the sample platform."""

from __future__ import annotations

from typing import Any

from monitor.bindingfile import read_binding
from monitor.embedded.faults import Site
from monitor.embedded.faults.fault import API
from monitor.embedded.platform import BINDING
from monitor.settings import Api
from monitor.stores.api import ApiAddress


def application(site: Site) -> dict[str, Any]:
    """What a LiveEnvironment is told of the platform; nothing where there is none."""
    if site.servers.platform is None:
        return {}
    url = site.addresses()[API]
    api = Api.model_validate(site.servers.platform.described(url)["api"])
    return {"binding": read_binding(BINDING, environ={}), "api": ApiAddress(base_url=url, auth=api.auth)}
