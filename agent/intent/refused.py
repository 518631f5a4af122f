"""Keys of Compose that are not offered, and why: so that nobody searches for a typing error in them."""

_NO_FILES = "is not offered: a host has no files of this document"
_WINDOWS = "is not offered: it is for Windows"
_NETWORKS = "is not offered: use networks and their aliases"
_REAL_TIME = "is not offered: cgroup v2 has no such limit; use cpus or cpu_shares"

SERVICE_REFUSED: dict[str, str] = {
    "attach": "is not offered: it is about the terminal of docker compose",
    "build": "is not offered: push an image to a registry and name it",
    "container_name": "is not offered: copies are called <project>-<service>-<number>",
    "cpu_count": _WINDOWS,
    "cpu_percent": _WINDOWS,
    "cpu_rt_period": _REAL_TIME,
    "cpu_rt_runtime": _REAL_TIME,
    "credential_spec": _WINDOWS,
    "develop": "is not offered: it is for development",
    "env_file": f"{_NO_FILES}; use environment",
    "expose": "is not needed: copies on a network reach every port of each other",
    "extends": f"{_NO_FILES}; use a YAML anchor",
    "external_links": _NETWORKS,
    "isolation": _WINDOWS,
    "label_file": f"{_NO_FILES}; use labels",
    "links": _NETWORKS,
    "mac_address": "is not offered: two copies with one address disturb each other",
    "models": "is not offered: a model is no container",
    "platform": "is not offered: every host runs the image for its own processor; another one would need an emulator",
    "post_start": "is not offered: put it into the image, or into its entrypoint",
    "pre_stop": "is not offered: put it into the image; stop_signal and stop_grace_period are there",
    "profiles": "is not offered: what is in the document runs",
    "provider": "is not offered: a provider is no container",
    "scale": "is not offered: use x-hosts, which says how many copies run on which host",
    "storage_opt": "is not offered: what it does depends on the storage driver of each host",
    "use_api_socket": "is not offered: whoever has the socket of dockerd has the host; mount it yourself",
    "volumes_from": "is not offered: declare a volume and mount it in both services",
}

TOP_REFUSED: dict[str, str] = {
    "include": f"{_NO_FILES}; put one whole document",
    "models": "is not offered: a model is no container",
    "version": "is obsolete in Compose: take it out",
}
