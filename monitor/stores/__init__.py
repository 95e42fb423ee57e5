"""The only I/O besides the web: the only importers of asyncpg, redis and sqlalchemy."""
