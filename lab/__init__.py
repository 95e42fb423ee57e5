"""The failover lab: a real Patroni cluster that is broken on purpose, and whether Holdfast says what came of it."""
