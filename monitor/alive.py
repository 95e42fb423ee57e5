"""Whether a daemon on this machine turns: `python -m monitor.alive [URL]`, for the image's HEALTHCHECK.

It asks /healthz where HOLDFAST_HTTP__LISTEN has the daemon listen, and ends with 0, or with 1 and the reason. It loads
nothing but the standard library, since it is started every few seconds.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

_PATIENCE = 2  # seconds
_DEFAULT = "127.0.0.1:9464"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  where one asks what listens everywhere


def local(listen: str) -> str:
    """The URL of a daemon that listens there, as one asks it from the same machine."""
    host, _, port = listen.rpartition(":")
    return f"http://{_EVERYWHERE.get(host, host)}:{port}"


def address(listen: str) -> str:
    """The URL to ask whether a daemon that listens there is alive."""
    return f"{local(listen)}/healthz"


def main() -> int:
    """Ask; -> the exit code."""
    url = sys.argv[1] if sys.argv[1:] else address(os.environ.get("HOLDFAST_HTTP__LISTEN") or _DEFAULT)
    if not url.startswith(("http://", "https://")):
        sys.stderr.write(f"{url} is no URL such as {address(_DEFAULT)}\n")
        return 1
    try:
        # A proxy that the environment names is for what is far away.
        with build_opener(ProxyHandler({})).open(url, timeout=_PATIENCE) as answer:
            return 0 if answer.status == 200 else 1  # noqa: PLR2004  HTTP's own number
    except (OSError, HTTPException, ValueError) as error:  # 503 is one of these, too
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
