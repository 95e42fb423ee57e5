"""The sample platform for the demo and for tests: an application before the stores, with switches that break it."""

import asyncio
import secrets
import signal
import sys
from pathlib import Path

from monitor.embedded.folder import PrivateFolder
from monitor.embedded.postgres import EmbeddedPostgres
from monitor.embedded.process import NotInstalledError
from monitor.embedded.server import Server
from monitor.embedded.valkey import EmbeddedValkey

CLONE = Path(__file__).resolve().parents[2]
MODULE = "examples.platform"
BINDING = CLONE / "config" / "bindings" / "platform.yaml"
"""How the platform stores things."""

_SWITCH_SECONDS = 10.0


def make_sure_it_is_here() -> None:
    """Raises NotInstalledError where only the package is there: the sample platform is no part of it."""
    for needed in (CLONE / MODULE.replace(".", "/") / "__main__.py", BINDING):
        if not needed.exists():
            raise NotInstalledError(
                f"the sample platform is not part of the installed package ({needed} is missing): it is in Holdfast's"
                " repository; get a clone of that, and run `python3 dev.py demo --platform` in it"
            )


class EmbeddedPlatform(Server):
    """One process of examples/platform on the loopback interface, before a PostgreSQL and a Valkey of ours that run.

    Its tables are in the schema `public` of the database `app`, and belong to the role `holdfast`. `secret` signs the
    tokens of its users.
    """

    title = "sample platform"
    stop_requests = ((signal.SIGTERM, 5.0),)
    ours = True

    def __init__(
        self, folder: PrivateFolder, postgres: EmbeddedPostgres, valkey: EmbeddedValkey, *, name: str = "platform"
    ) -> None:
        super().__init__(folder, name)
        self._postgres = postgres
        self._valkey = valkey
        self.secret = secrets.token_hex(32)
        self._admin = secrets.token_hex(16)

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.port}/"

    def described(self, base_url: str) -> dict[str, object]:
        """What an environment that is bound to it has in a configuration; its API is reached at `base_url`."""
        log_in = {"kind": "jwt", "algorithm": "HS256", "key": self.secret}
        return {"api": {"base_url": base_url, "auth": log_in}, "binding": str(BINDING)}

    async def _prepare(self) -> None:
        make_sure_it_is_here()
        if not self._home.exists():
            self._folder.subfolder(self._home.name)
            await self._postgres.sql("GRANT CREATE ON SCHEMA public TO holdfast")
        self.variables |= {  # not on the command line, which everybody sees
            "PLATFORM_DSN": self._postgres.dsn,
            "PLATFORM_REDIS": self._valkey.url,
            "PLATFORM_SECRET": self.secret,
            "PLATFORM_ADMIN": self._admin,
            "PYTHONPATH": str(CLONE),
            "PYTHONDONTWRITEBYTECODE": "1",  # the clone may be another user's
        }

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", MODULE, "--port", str(self.port), "--delay", "1"]

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def switch(self, name: str, *, on: bool) -> None:
        """Turn a switch of examples/platform/switches.py on or off: a bug, as real services have it."""
        await asyncio.to_thread(self._switch, name, "PUT" if on else "DELETE")

    def _switch(self, name: str, method: str) -> None:
        from urllib.request import Request, urlopen  # noqa: PLC0415  a demo that breaks nothing needs no client

        request = Request(f"{self.url}_switches/{name}", method=method, headers={"X-Admin": self._admin})  # noqa: S310
        with urlopen(request, timeout=_SWITCH_SECONDS):  # noqa: S310  our own child
            pass
