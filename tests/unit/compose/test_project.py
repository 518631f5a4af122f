"""Compose files of an operator, and the document that `compile` makes of them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.compose import Compiled, compile_project, load
from agent.errors import Invalid
from agent.intent.values import anything
from agent.model.faults import InvalidDocument
from agent.yamldoc import open_document

Compile = Callable[..., Compiled]
ENVIRONMENT = {"TAG": "1.2.3", "TOKEN": "of-the-shell"}
HOSTS = "x-cluster: {version: 1, project_directory: /srv/shop}\n"


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compile files given as texts; a keyword is another file of the folder, `_` in place of a dot."""
    folder = tmp_path / "Shop_1"
    folder.mkdir()

    def run(*texts: str, env_files: tuple[str, ...] = (), **others: str) -> Compiled:
        for name, text in others.items():
            (folder / name.replace("_", ".")).write_text(text)
        files = [folder / f"{number}.yaml" for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        return compile_project(load(tuple(files), tuple(folder / each for each in env_files), ENVIRONMENT))

    return run


def read(compiled: Compiled) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(compiled.text)
    return found


def service(compiled: Compiled, name: str = "a") -> dict[str, Any]:
    """The keys of a service, without the network that one without networks gets."""
    found: dict[str, Any] = read(compiled)["services"][name]
    return {key: value for key, value in found.items() if (key, value) != ("networks", ["default"])}


def faults(compile_: Compile, *texts: str, **others: str) -> list[str]:
    with pytest.raises(InvalidDocument) as raised:
        compile_(*texts, **others)
    return [
        f"{Path(each.file).name}:{each.line}:{each.column} {each.path} {each.problem}"
        for each in raised.value.faults
    ]


def test_the_project_is_called_as_its_folder_unless_it_has_a_name(compiled: Compile) -> None:
    assert read(compiled("services: {}"))["name"] == "shop_1"
    assert read(compiled("name: other\nservices: {}"))["name"] == "other"


def test_equal_files_give_equal_documents_that_say_what_they_were_made_of(compiled: Compile) -> None:
    first, second = compiled("services: {a: {image: x}}"), compiled("services: {a: {image: x}}")
    assert first.text == second.text
    assert first.text.startswith("# Made by swarmkeeper compile of ")


# ---- Variables


def test_variables_come_from_the_process_and_then_from_the_file_beside_the_first_one(
    compiled: Compile,
) -> None:
    text = "services: {a: {image: 'x:$TAG', labels: {t: $TOKEN, f: $FILE, n: $$TAG}}}"
    made = compiled(text, _env="TOKEN=of-the-file\nFILE=$TOKEN-2\nLITERAL='$TOKEN'\n")
    assert service(made) == {
        "image": "x:1.2.3",
        "labels": {"t": "of-the-shell", "f": "of-the-shell-2", "n": "$$TAG"},
    }


def test_files_of_variables_may_be_named_instead(compiled: Compile) -> None:
    made = compiled(
        "services: {a: {image: x:$A$B}}",
        env_files=("1.env", "2.env"),
        _env="A=no\n",
        **{"1_env": "A=1\nB=1\n", "2_env": "B=${A}2\n"},
    )
    assert service(made)["image"] == "x:112"


def test_the_environment_may_name_the_files_of_variables(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("services: {a: {image: 'x:$A'}}")
    (tmp_path / "my.env").write_text("A=mine\n")
    (tmp_path / ".env").write_text("A=usual\n")
    environment = {"COMPOSE_ENV_FILES": str(tmp_path / "my.env")}
    assert service(compile_project(load((tmp_path / "c.yaml",), (), environment)))["image"] == "x:mine"


def test_what_comes_from_standard_input_belongs_to_the_folder_of_the_first_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(HOSTS)
    project = load((Path("-"), tmp_path / "c.yaml"), (), {}, b"services: {}")
    assert project.folder == tmp_path


def test_a_number_that_compose_spells_otherwise_is_told_where_it_is_text(compiled: Compile) -> None:
    made = compiled("services:\n  a:\n    image: x\n    cpus: .5\n    environment: {A: 1.10}\n")
    assert "A: 1.1\n" in made.text
    (told,) = made.warnings
    assert "0.yaml, line 5: services.a.environment.A is a number or a time for Compose" in told


def test_a_project_without_a_name_is_refused_with_the_ways_to_give_one(tmp_path: Path) -> None:
    folder = tmp_path / "___"
    folder.mkdir()
    (folder / "c.yaml").write_text("services: {}")
    for environment, told in (({}, "write name:"), ({"COMPOSE_PROJECT_NAME": "A b"}, "write a-z")):
        with pytest.raises(Invalid, match=told):
            compile_project(load((folder / "c.yaml",), (), environment))


def test_a_variable_without_a_value_is_empty_text_and_told(compiled: Compile) -> None:
    made = compiled("services: {a: {image: x, hostname: $NOBODY}}")
    assert service(made)["hostname"] == ""
    assert made.warnings == ("the variable NOBODY is not set: empty text stands for it",)


def test_a_required_variable_is_named_with_the_place_that_needs_it(compiled: Compile) -> None:
    assert faults(compiled, "services:\n  a:\n    image: ${IMAGE:?say which}\n") == [
        "0.yaml:3:12 services.a.image needs the variable IMAGE (say which)"
    ]


def test_a_wrong_line_in_a_file_of_variables_is_named(compiled: Compile) -> None:
    with pytest.raises(Invalid, match=r"\.env, line 2: not a variable"):
        compiled("services: {}", _env="A=1\n=2\n")


# ---- Several files


def test_later_files_override_earlier_ones_key_by_key(compiled: Compile) -> None:
    base = """
services:
  a:
    image: x
    command: [run, slow]
    environment: [A=1, B=2]
    ports: ["80:80", {target: 90, published: "90"}]
    volumes: ["/a:/in", "data:/data"]
    dns: 1.1.1.1
    depends_on: [b]
    networks: [front]
    logging: {driver: json-file, options: {max-size: 1m}}
    healthcheck: {test: [CMD, a], interval: 5s}
    extra_hosts: [h:1.1.1.1]
    ulimits: {nofile: 100}
    deploy: {placement: {constraints: [node.role == manager]}}
  b: {image: y}
"""
    over = """
services:
  a:
    command: fast
    environment: {B: "3", C: "4"}
    ports: ["80:80", "91:91", {target: 90, published: "90", mode: host}]
    volumes: ["/b:/in:ro", {type: tmpfs, target: /data}]
    dns: [2.2.2.2, 1.1.1.1]
    depends_on: {b: {condition: service_healthy}}
    networks: {front: {aliases: [z]}, back: null}
    logging: {driver: syslog, options: {syslog-address: udp://x:1}}
    healthcheck: {test: echo, retries: 3}
    extra_hosts: {h: 2.2.2.2}
    ulimits: {nofile: {soft: 50, hard: 60}}
    deploy: {placement: {constraints: [node.labels.a == b]}}
"""
    assert service(compiled(base, over)) == {
        "image": "x",
        "command": "fast",
        "environment": {"A": "1", "B": "3", "C": "4"},
        "ports": ["80:80", {"target": 90, "published": "90", "mode": "host"}, "91:91"],
        "volumes": ["/b:/in:ro", {"type": "tmpfs", "target": "/data"}],
        "dns": ["1.1.1.1", "2.2.2.2"],
        "depends_on": {"b": {"condition": "service_healthy"}},
        "networks": {"front": {"aliases": ["z"]}, "back": None},
        "logging": {"driver": "syslog", "options": {"syslog-address": "udp://x:1"}},
        "healthcheck": {"test": "echo", "interval": "5s", "retries": 3},
        "extra_hosts": ["h:1.1.1.1", "h:2.2.2.2"],
        "ulimits": {"nofile": {"soft": 50, "hard": 60}},
        "deploy": {"placement": {"constraints": ["node.role == manager", "node.labels.a == b"]}},
    }


def test_no_value_in_a_later_file_keeps_the_earlier_one(compiled: Compile) -> None:
    assert service(compiled("services: {a: {image: x}}", "services: {a: {image: }}"))["image"] == "x"


def test_another_form_in_a_later_file_is_a_fault_in_that_file(compiled: Compile) -> None:
    told = faults(
        compiled, "services:\n  a: {image: x, cap_add: [A]}\n", "services:\n  a: {cap_add: {A: 1}}\n"
    )
    assert told == ["1.yaml:2:16 services.a.cap_add has another form than in the file that it overrides"]


def test_faults_of_all_files_are_told_at_once(compiled: Compile) -> None:
    told = faults(compiled, "services: {a: {image: x, image: y}}", "services: {a: {image: '${'}}")
    assert [each.split(" ")[0] for each in told] == ["0.yaml:1:26", "1.yaml:1:23"]


# ---- What only the operator's machine knows


def test_env_file_gives_variables_that_environment_overrides(compiled: Compile) -> None:
    made = compiled(
        "services: {a: {image: x, env_file: [1.env, {path: no.env, required: false}, {path: 2.env, format: raw}],"
        " environment: {B: mine}}}",
        **{"1_env": "A=1\nB=1\nQ='$A'\n", "2_env": "C='$A'\n"},
    )
    assert service(made) == {"image": "x", "environment": {"A": "1", "B": "mine", "Q": "$$A", "C": "'$$A'"}}


def test_an_env_file_that_is_not_there_is_named(compiled: Compile) -> None:
    (told,) = faults(compiled, "services:\n  a: {image: x, env_file: no.env}\n")
    assert told.startswith("0.yaml:2:27 services.a.env_file[0] ")
    assert "no.env cannot be read" in told


def test_a_name_alone_takes_the_variable_of_the_shell_or_goes_away(compiled: Compile) -> None:
    made = compiled("services: {a: {image: x, environment: [TOKEN, NOBODY, E=]}}")
    assert service(made)["environment"] == {"TOKEN": "of-the-shell", "E": ""}
    assert len(made.warnings) == 1
    assert "services.a.environment.NOBODY has no value here" in made.warnings[0]


@pytest.mark.parametrize(
    ("mount", "becomes"),
    [
        ("./html:/www", "/srv/shop/html:/www"),
        (".:/www:ro", "/srv/shop:/www:ro"),
        ("../other/:/www", "/srv/other:/www"),
        ("./a/../b:/www", "/srv/shop/b:/www"),
        ("/abs:/www", "/abs:/www"),
        ("data:/www", "data:/www"),
        ("/anonymous", "/anonymous"),
    ],
)
def test_relative_binds_begin_in_the_folder_on_the_hosts(compiled: Compile, mount: str, becomes: str) -> None:
    made = compiled(f"services: {{a: {{image: x, volumes: ['{mount}']}}}}", HOSTS)
    assert service(made)["volumes"] == [becomes]
    assert "project_directory" not in made.text


def test_a_relative_bind_in_the_long_form_too(compiled: Compile) -> None:
    mount = "{type: bind, source: conf, target: /c}, {type: volume, source: v, target: /v}"
    made = compiled(f"services: {{a: {{image: x, volumes: [{mount}]}}}}", HOSTS)
    assert [each["source"] for each in service(made)["volumes"]] == ["/srv/shop/conf", "v"]


def test_files_of_secrets_too(compiled: Compile) -> None:
    made = compiled("secrets: {s: {file: /abs}, r: {file: ./r}}\nservices: {}", HOSTS)
    assert read(made)["secrets"] == {"s": {"file": "/abs"}, "r": {"file": "/srv/shop/r"}}


@pytest.mark.parametrize(
    "content", ["a: $X ${Y:?z} $$\n\n", " x\n", "", "# a\r\n\tb", "5", "\ufeffü\u2028\x85\x01\n"]
)
def test_a_file_of_a_config_is_read_and_nothing_in_it_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "app.conf").write_bytes(content.encode())
    file = tmp_path / "compose.yaml"
    file.write_text("name: shop\nconfigs: {c: {file: app.conf}}\nservices: {a: {image: x, configs: [c]}}")
    made = compile_project(load((file,), (), ENVIRONMENT))

    assert read(made)["configs"] == {"c": {"content": content.replace("$", "$$")}}
    parsed = open_document(made.text.encode()).at("configs", "c", "content")
    assert anything(parsed) == content


def test_the_text_of_a_config_is_written_line_by_line(compiled: Compile) -> None:
    made = compiled("configs: {c: {file: c.conf}}\nservices: {}", c_conf="a: 1\nb: 2\n")
    assert "    content: |\n      a: 1\n      b: 2\n" in made.text


def test_variables_in_a_content_of_the_compose_file_are_replaced(compiled: Compile) -> None:
    made = compiled("configs: {c: {content: 'tag=$TAG $$X'}}\nservices: {}")
    assert read(made)["configs"] == {"c": {"content": "tag=1.2.3 $$X"}}


def test_an_absolute_file_of_a_config_stays_one_on_the_hosts(compiled: Compile) -> None:
    made = compiled("configs: {c: {file: /etc/hostname}}\nservices: {}")
    assert read(made)["configs"] == {"c": {"file": "/etc/hostname"}}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda file: None, "cannot be read: No such file or directory"),
        (lambda file: file.write_bytes(b"\xff"), "is not UTF-8: byte 0"),
        (lambda file: file.write_bytes(b"ab\0"), "is not text: byte 2 is NUL"),
        (lambda file: file.write_bytes(b"x" * 65_537), "has more than 65536 bytes"),
        (lambda file: file.mkdir(), "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (lambda file: file.symlink_to(file), "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_a_file_of_a_config_that_is_no_text_is_refused_at_its_key(
    tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    make(tmp_path / "c.conf")
    file = tmp_path / "compose.yaml"
    file.write_text("configs:\n  c:\n    file: ./c.conf\nservices: {}")
    with pytest.raises(InvalidDocument) as raised:
        compile_project(load((file,), (), ENVIRONMENT))
    (fault,) = raised.value.faults
    assert (fault.line, fault.column, fault.path) == (3, 11, "configs.c.file")
    assert fault.problem.endswith(says)
    assert fault.remedy == "write the absolute path of a file on the hosts"


def test_a_relative_path_without_that_folder_is_refused_with_the_line_to_add(compiled: Compile) -> None:
    with pytest.raises(InvalidDocument, match=r"add to x-cluster: project_directory: /srv/shop_1"):
        compiled("services: {a: {image: x, volumes: ['./a:/b']}}")


def test_a_path_in_a_home_is_refused(compiled: Compile) -> None:
    assert (
        "is in the home of a user"
        in faults(compiled, "services: {a: {image: x, volumes: ['~/a:/b']}}", HOSTS)[0]
    )


def test_paths_that_compose_made_absolute_are_told_with_the_option_that_leaves_them(
    compiled: Compile, tmp_path: Path
) -> None:
    text = f"services: {{a: {{image: x, volumes: ['{tmp_path}/Shop_1/html:/www', '{tmp_path}:/other']}}}}"
    (told,) = compiled(text, HOSTS).warnings
    assert "services.a.volumes[0] is in the project's folder on this machine" in told
    assert "--no-path-resolution" in told


def test_build_beside_an_image_is_dropped_with_a_warning(compiled: Compile) -> None:
    made = compiled("services:\n  a:\n    image: x\n    build: .\n")
    assert service(made) == {"image": "x"}
    assert [each.partition("0.yaml, ")[2] for each in made.warnings] == [
        "line 4: services.a.build is not carried out: push the image that `image` names"
    ]


def test_a_service_without_networks_is_on_the_network_default(compiled: Compile) -> None:
    made = read(
        compiled("services: {a: {image: x}, b: {image: x, network_mode: host}}\nnetworks: {other: {}}")
    )
    assert made["services"]["a"]["networks"] == ["default"]
    assert "networks" not in made["services"]["b"]


@pytest.mark.parametrize("key", ["extends: {service: b}", "profiles: [debug]"])
def test_what_compose_itself_can_flatten_is_refused_with_that_way_out(compiled: Compile, key: str) -> None:
    with pytest.raises(InvalidDocument, match=r"`docker compose config --no-path-resolution` prints"):
        compiled(f"services: {{a: {{image: x, {key}}}}}")


def test_include_is_refused_with_that_way_out(compiled: Compile) -> None:
    (told,) = faults(compiled, "include: [other.yaml]\nservices: {}")
    assert told.startswith("0.yaml:1:1 include is not compiled")
