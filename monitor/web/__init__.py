"""The status page, the API, health and /metrics: reads what the daemon knows, and decides nothing."""

from monitor.web.app import create_app
from monitor.web.daemon import Daemon, Watched
from monitor.web.server import Serving, serve

__all__ = ["Daemon", "Serving", "Watched", "create_app", "serve"]
