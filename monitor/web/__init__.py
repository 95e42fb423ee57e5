"""The status page, the API, health and /metrics: reads what the daemon knows, and decides nothing."""

from monitor.web.app import create_app
from monitor.web.daemon import Daemon, Watched
from monitor.web.server import ListenError, PortTakenError, Serving, serve

__all__ = ["Daemon", "ListenError", "PortTakenError", "Serving", "Watched", "create_app", "serve"]
