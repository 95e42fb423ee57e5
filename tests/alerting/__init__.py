"""The alerts, held against Prometheus's and Alertmanager's own tools."""
