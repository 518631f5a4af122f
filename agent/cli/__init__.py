"""The command line. Commands that read etcd print their output only; `run` starts the daemon."""
