"""`python -m monitor` is `holdfast`."""

from monitor.cli import main

main()
