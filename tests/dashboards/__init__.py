"""Dashboards for Grafana: what they ask exists, is answered by a live Prometheus, and fits Grafana's model."""
