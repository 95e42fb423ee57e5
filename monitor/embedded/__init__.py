"""Real servers for the demo and for tests, which end and vanish with the process that started them."""

from monitor.embedded.folder import PrivateFolder
from monitor.embedded.postgres import EmbeddedPostgres
from monitor.embedded.process import EmbeddedError
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.servers import Servers
from monitor.embedded.valkey import EmbeddedValkey

__all__ = ["EmbeddedError", "EmbeddedPostgres", "EmbeddedValkey", "PrivateFolder", "Servers", "TcpProxy"]
