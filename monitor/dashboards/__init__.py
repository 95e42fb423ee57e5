"""Dashboards for Grafana, made of what a configuration says. Pure: values in, files out.

Nothing of the daemon imports this package: the builders of Grafana's SDK are for `holdfast dashboard` alone.
"""

from monitor.dashboards.detail import detail
from monitor.dashboards.files import config_maps, files, text
from monitor.dashboards.given import DETAIL, OVERVIEW, Given
from monitor.dashboards.overview import overview

__all__ = ["DETAIL", "OVERVIEW", "Given", "config_maps", "detail", "files", "overview", "text"]
