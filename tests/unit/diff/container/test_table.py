"""Every field, on the pure level: what was said is found again, in any spelling, and a change by hand is named."""

import copy
from typing import Any

import pytest

from agent.diff.container import TABLE, create_request, differences
from agent.diff.container.limits import cpu_set
from agent.model.intent import PARKING
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, Mount, spec_hash
from tests.fakes.container_inspect import inspect_of
from tests.support.field_samples import SAMPLES, Changes, Sample

ID = "d34db33fcafe" + "0" * 52
BARE = {"Id": "sha256:bare", "Config": {"Env": None, "Cmd": None}}
RICH = {
    "Id": "sha256:rich",
    "Config": {
        "Env": ["GREETING=hello", "NAME=image"],
        "Labels": {"maker": "image"},
        "User": "1000",
        "WorkingDir": "/srv",
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["sleep 1000"],
        "ExposedPorts": {"8080/tcp": {}},
        "Volumes": {"/data": {}},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD-SHELL", "/bin/true"], "Interval": 7_000_000_000, "Retries": 5},
    },
}
ENGINES_CHOICE = {
    "image", "logging", "platform", "ulimits", "shm_size_bytes", "ipc", "cgroup", "runtime", "annotations",
    "restarted_at",
}  # fmt: skip
IMAGES = pytest.mark.parametrize("image", [BARE, RICH], ids=["bare image", "rich image"])
FIELDS = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def _spec(sample: Sample) -> ContainerSpec:
    return ContainerSpec(**{"image": "bare:1", **sample.beside, sample.field: sample.value})


def _inspect(spec: ContainerSpec, image: dict[str, Any]) -> dict[str, Any]:
    replica_of = Replica(service="order", slot=1, spec=spec_hash(spec))
    request = create_request(spec, replica_of, project="prod", cluster="test", name="prod-order-1")
    return inspect_of(request.body, image, container_id=ID, name=request.name)


def _changed(inspect: dict[str, Any], changes: Changes) -> dict[str, Any]:
    changed = copy.deepcopy(inspect)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = changed
        for each in parents:
            place = place[each]
        place[last] = value
    return changed


def test_the_table_has_a_row_for_every_field_of_a_spec() -> None:
    assert [row.field for row in TABLE] == list(ContainerSpec.__dataclass_fields__)


def test_there_is_a_sample_of_every_field() -> None:
    assert {each.field for each in SAMPLES} == set(ContainerSpec.__dataclass_fields__)


@IMAGES
@FIELDS
def test_what_was_said_is_found_again(sample: Sample, image: dict[str, Any]) -> None:
    spec = _spec(sample)

    assert differences(spec, _inspect(spec, image), image) == ()


@FIELDS
def test_another_spelling_of_the_same_value_is_no_difference(sample: Sample) -> None:
    spec = _spec(sample)

    assert differences(spec, _changed(_inspect(spec, BARE), sample.spelled), BARE) == ()


@FIELDS
def test_a_change_by_hand_is_named_with_how_it_is_put_right(sample: Sample) -> None:
    spec = _spec(sample)

    found = differences(spec, _changed(_inspect(spec, BARE), sample.by_hand), BARE)

    assert sample.named in [str(each) for each in found]
    assert {each.repair for each in found if str(each) == sample.named} == {sample.repair}


@IMAGES
def test_a_container_of_which_nothing_but_the_image_was_said_has_no_differences(
    image: dict[str, Any],
) -> None:
    spec = ContainerSpec(image="bare:1")

    assert differences(spec, _inspect(spec, image), image) == ()


def test_of_a_variable_that_an_image_has_twice_the_first_counts_as_in_the_engine() -> None:
    image = {"Id": "sha256:twice", "Config": {"Env": ["A=1", "A=2"]}}
    spec = ContainerSpec(image="bare:1", environment=(("B", "3"),))

    assert differences(spec, _changed(_inspect(spec, BARE), {"Config.Env": ["B=3", "A=1"]}), image) == ()


@FIELDS
def test_what_the_spec_does_not_say_and_somebody_did_is_a_difference_where_it_can_be_told(
    sample: Sample,
) -> None:
    """Not where dockerd's own configuration may have said it: log options, ulimits, size of /dev/shm and the like."""
    inspect = _inspect(_spec(sample), BARE)

    found = differences(ContainerSpec(image="bare:1"), inspect, BARE)

    told = {each.field.partition(".")[0] for each in found}
    cannot_be_told = sample.field in ENGINES_CHOICE
    assert bool(told) != cannot_be_told, told


def test_without_the_image_what_it_may_have_said_is_not_compared() -> None:
    spec = ContainerSpec(image="bare:1", environment=(("MINE", "1"),))

    assert differences(spec, _inspect(spec, RICH), None) == ()


@pytest.mark.parametrize(
    "isolation", [{"privileged": True}, {"pid": "host"}, {"ipc": "host"}], ids=lambda each: next(iter(each))
)
@pytest.mark.parametrize("said", [(), ("label=disable",), ("label:disable",), ("label=type:web_t",)])
def test_an_option_that_the_engine_would_add_itself_may_be_said_as_well(
    isolation: dict[str, Any], said: tuple[str, ...]
) -> None:
    spec = ContainerSpec(image="bare:1", security_opt=said, **isolation)

    assert differences(spec, _inspect(spec, BARE), BARE) == ()


def test_an_empty_entrypoint_takes_the_images_away() -> None:
    spec = ContainerSpec(image="bare:1", entrypoint=(), command=("sleep", "1"))

    inspect = _inspect(spec, RICH)

    assert inspect["Config"]["Entrypoint"] is None
    assert differences(spec, inspect, RICH) == ()


@pytest.mark.parametrize("image", [BARE, RICH])
def test_an_empty_command_takes_the_images_away(image: dict[str, Any]) -> None:
    spec = ContainerSpec(image="bare:1", command=())

    inspect = _inspect(spec, image)

    assert not inspect["Config"]["Cmd"]
    assert inspect["Config"]["Entrypoint"] == image["Config"].get("Entrypoint")
    assert differences(spec, inspect, image) == ()


def test_the_temporary_network_beside_the_bridge_is_no_difference() -> None:
    """It is put there and taken away by the change of docker_gwbridge; what is on another one is put right."""
    spec = ContainerSpec(image="bare:1", networks=(Attachment(network="net"),))
    inspect = _inspect(spec, BARE)
    endpoint = inspect["NetworkSettings"]["Networks"]["net"]

    parked = _changed(inspect, {f"NetworkSettings.Networks.{PARKING}": endpoint})
    strayed = _changed(inspect, {"NetworkSettings.Networks.other": endpoint})

    assert differences(spec, parked, BARE) == ()
    assert [each.field for each in differences(spec, strayed, BARE)] == ["networks.other"]


@pytest.mark.parametrize("sample", [each for each in SAMPLES if each.dropped], ids=str)
def test_what_the_engine_dropped_is_named_and_not_tried_again_by_a_new_container(sample: Sample) -> None:
    spec = _spec(sample)

    found = differences(spec, _inspect(_spec_without(sample), BARE), BARE)

    assert found
    assert "replace" not in {each.repair for each in found}


def test_a_swappiness_of_zero_that_the_engine_dropped_is_no_reason_for_a_new_container() -> None:
    """An engine on cgroup v2 drops every swappiness, and would drop it of the next container as well."""
    spec = ContainerSpec(image="bare:1", memory_swappiness=0)

    (found,) = differences(spec, _inspect(ContainerSpec(image="bare:1"), BARE), BARE)

    assert (str(found), found.repair) == ("mem_swappiness: 0 wanted, nothing found", "none")


def test_a_swappiness_that_is_not_said_any_more_is_taken_away() -> None:
    inspect = _inspect(ContainerSpec(image="bare:1", memory_swappiness=0), BARE)

    (found,) = differences(ContainerSpec(image="bare:1"), inspect, BARE)

    assert found.repair == "replace"


def _spec_without(sample: Sample) -> ContainerSpec:
    return ContainerSpec(image="bare:1", **sample.beside)


@pytest.mark.parametrize(
    ("written", "listed"),
    [("0", "0"), ("3,0-1,2", "0-3"), ("5,1-3,2", "1-3,5"), ("0-8191", "0-8191"), ("f,g", "f,g")],
)
def test_cpus_have_one_form(written: str, listed: str) -> None:
    assert cpu_set(written) == listed


def test_volume_without_the_files_of_the_image_is_asked_for_in_dockers_own_words() -> None:
    mount = Mount(type="volume", source="data", target="/data", nocopy=True)
    request = create_request(
        ContainerSpec(image="bare:1", volumes=(mount,)),
        Replica(service="order", slot=1, spec="0"),
        project="prod",
        cluster="test",
        name="prod-order-1",
    )
    assert request.body["HostConfig"]["Mounts"][0]["VolumeOptions"] == {"NoCopy": True}
