"""The monitoring mixin: Prometheus alerts and Grafana dashboards from one source. `script/mixin` writes the files."""
