"""The pure parts of the failover lab, and how its nodes end; the lab itself is `make failover-lab`."""
