"""What a host does for itself: its bridge, its membership, its replicas."""
