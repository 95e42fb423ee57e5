"""A sample platform: a small chat service on PostgreSQL and Redis, with switches that break it as real ones break."""
