"""From a fault to the message on somebody's phone: real stores, the daemon, Prometheus and Alertmanager."""
