#!/bin/sh
exec java-of-zookeeper -Xmx64m org.apache.zookeeper.ZooKeeperMain "$@"
