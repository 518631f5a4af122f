"""The only access to dockerd, etcd, the kernel, the disk and systemd."""
