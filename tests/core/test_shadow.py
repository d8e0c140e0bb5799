"""Volume shadows, each situation of the reproduced table as data: what is found, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disinto_tui.core.model import AGENT_VOLUMES
from disinto_tui.core.shadow import (
    Attached,
    Content,
    Mount,
    ServiceFacts,
    Shadow,
    Tree,
    adrift,
    attached_of,
    find_shadows,
    mounts_of,
)

HEX = "a1" * 32
DATA = "/home/agent/data"
NAMED = Mount(DATA, "volume", "agent-data")

ROOT_HOME = "/" + "root"
"""Root's home in a container."""


def found(**facts: Any) -> list[Shadow]:
    return find_shadows(ServiceFacts("agents", "r/agents:v2", "p", **facts))


def kinds(**facts: Any) -> list[tuple[str, str, str]]:
    return [(item.kind, item.severity, item.path) for item in found(**facts)]


# -- a declared path without a mount -------------------------------------------------------------------------------


def test_every_declared_path_with_a_mount_of_exactly_that_path_is_fine() -> None:
    mounts = [Mount(path, "volume", "v") for path in AGENT_VOLUMES]
    assert found(declared=AGENT_VOLUMES, mounts=mounts, attached=[]) == []
    assert found(declared=[f"{DATA}/"], mounts=[NAMED]) == [], "a trailing slash is the same path"
    assert found(declared=[DATA], mounts=[Mount(DATA, "bind", "/srv/data")]) == []
    assert found(declared=[DATA], mounts=[Mount(DATA, "tmpfs")]) == []


@pytest.mark.parametrize("mount", [Mount("/home/agent", "bind", "/srv"), Mount(f"{DATA}/sub", "volume", "v")])
def test_a_mount_on_a_parent_or_a_child_does_not_cover(mount: Mount) -> None:
    (shadow,) = found(declared=[DATA], mounts=[mount])
    assert (shadow.kind, shadow.path) == ("unmounted", DATA)
    assert f"the mount at {mount.target} does not cover it" in shadow.text


def test_an_anonymous_volume_at_a_declared_path_is_data_that_down_and_up_lose() -> None:
    content = Content(1_200_000, 3, "repo.db", 1_764_000_000.0)
    (shadow,) = found(declared=["/data"], attached=[Attached("/data", HEX)], contents={HEX: content})
    assert (shadow.kind, shadow.severity, shadow.volume) == ("unmounted", "problem", HEX)
    assert "3 files, 1.2 MB, the newest is repo.db of 2025-11-24" in shadow.text
    assert "`down` and `up` begin with an empty one" in shadow.loss
    assert f"-v {HEX}:/from:ro -v p_agents-data:/to r/agents:v2 -a /from/. /to/" in shadow.cure


def test_an_empty_anonymous_volume_is_a_warning() -> None:
    (shadow,) = found(declared=["/data"], attached=[Attached("/data", HEX)], contents={HEX: Content()})
    assert shadow.severity == "warning"


def test_the_copy_of_an_empty_volume_is_not_asked_for() -> None:
    (shadow,) = found(declared=["/data"], attached=[Attached("/data", HEX)], contents={HEX: Content()})
    assert "docker run" not in shadow.cure and "at exactly /data" in shadow.cure


def test_the_cure_names_the_volume_as_a_compose_file_calls_it_and_as_docker_does() -> None:
    """`p_agents-data` written into a compose file would be `p_p_agents-data`: an empty one."""
    (shadow,) = found(declared=["/data"], attached=[Attached("/data", HEX)])
    assert "mount the volume agents-data (for Docker it is p_agents-data) at /data" in shadow.cure
    assert f"`docker volume rm {HEX}`" in shadow.cure, "with its first digits Docker does not find it"


def test_data_that_down_and_up_left_behind_is_found_where_a_declared_path_has_no_mount() -> None:
    bare = found(declared=["/data"], attached=[Attached("/data", HEX)], contents={HEX: Content()})
    one, two = "b2" * 32, "c3" * 32
    volumes = {one: Content(9, 1, "repo.db", 1.8e9), two: Content(1, 1, "x", 1.7e9)}
    shadow = adrift(bare, volumes, "r/agents:v2", "p")
    assert shadow is not None and (shadow.kind, shadow.severity, shadow.volume) == ("adrift", "warning", one)
    assert "b2b2b2b2b2b2 (1 file, 9 B, the newest is repo.db" in shadow.text and "c3c3c3c3c3c3" in shadow.text
    assert f"-v {one}:/from:ro -v p_agents-data:/to r/agents:v2" in shadow.cure
    assert adrift(bare, {}, "i", "p") is None, "there is none"
    mounted = found(declared=[DATA], mounts=[NAMED], attached=[])
    assert adrift(mounted, volumes, "i", "p") is None, "others' volumes are others' business"


def test_a_volume_that_is_new_in_this_version_is_said_to_be() -> None:
    (shadow,) = found(declared=[DATA, "/state"], declared_before=[DATA], mounts=[NAMED])
    assert shadow.path == "/state" and "since this version" in shadow.text


def test_forgejos_data_beside_the_mount_that_was_meant_for_it() -> None:
    """Files of 2026-04 mount /var/lib/forgejo, while the image keeps its data in /data."""
    facts = ServiceFacts(
        "forgejo",
        "forgejo:11.0",
        "disinto",
        declared=["/data"],
        mounts=[Mount("/var/lib/forgejo", "volume", "forgejo-data")],
        attached=[Attached("/data", HEX), Attached("/var/lib/forgejo", "disinto_forgejo-data")],
        contents={HEX: Content(10, 1, "gitea/gitea.db")},
    )
    (shadow,) = find_shadows(facts)
    assert (shadow.kind, shadow.severity, shadow.path) == ("unmounted", "problem", "/data")


# -- volumes that the next container does not get ------------------------------------------------------------------


def test_a_volume_whose_path_the_new_image_does_not_declare_is_left_behind() -> None:
    attached = [Attached("/data", HEX)]
    assert kinds(declared=[], declared_before=["/data"], attached=attached) == [
        ("dropped", "problem", "/data")
    ]
    assert found(declared=[], attached=attached, contents={HEX: Content()}) == [], "an empty one is no loss"


def test_data_in_an_anonymous_volume_is_not_in_the_named_one_that_is_mounted_now() -> None:
    (shadow,) = found(declared=[DATA], mounts=[NAMED], attached=[Attached(DATA, HEX)])
    assert (shadow.kind, shadow.severity) == ("anonymous", "problem")
    assert "mounts agent-data there" in shadow.text
    assert f"-v {HEX}:/from:ro -v p_agent-data:/to" in shadow.cure


def test_a_nameless_volume_of_the_compose_file_itself_is_a_warning() -> None:
    facts = {"mounts": [Mount("/x", "volume")], "attached": [Attached("/x", HEX)]}
    assert kinds(**facts) == [("anonymous", "warning", "/x")]


def test_a_named_volume_is_not_anonymous_whatever_it_is_called() -> None:
    assert found(mounts=[NAMED], attached=[Attached(DATA, "p_agent-data"), Attached("/b", "", "/host")]) == []


# -- mounts over what the image brings -----------------------------------------------------------------------------


def test_a_mount_over_the_images_code_hides_what_the_new_version_changes() -> None:
    code = Mount("/home/agent/disinto", "bind", "/srv/disinto")
    before = {code.target: Tree("directory", {"dev.sh": "1", "old.sh": "1", "same": "1"})}
    after = {code.target: Tree("directory", {"dev.sh": "2", "new.sh": "1", "same": "1"})}
    (shadow,) = found(mounts=[code], trees=after, trees_before=before)
    assert (shadow.kind, shadow.severity) == ("hidden", "warning")
    assert shadow.files == ("dev.sh", "new.sh", "old.sh")
    assert "changes 3 files (dev.sh, new.sh, old.sh)" in shadow.text


def test_a_mount_over_code_is_a_warning_also_while_nothing_changes() -> None:
    code = Mount("/app", "volume", "code")
    assert kinds(mounts=[code], trees={"/app": Tree("directory", {"a": "1"})}) == [
        ("hidden", "warning", "/app")
    ]


def test_a_mount_over_a_declared_path_with_files_is_only_noted_until_they_change() -> None:
    tree = {DATA: Tree("directory", {"seed": "1"})}
    assert kinds(declared=[DATA], mounts=[NAMED], trees=tree, trees_before=tree) == [("hidden", "note", DATA)]
    other = {DATA: Tree("directory", {"seed": "0"})}
    assert kinds(declared=[DATA], mounts=[NAMED], trees=tree, trees_before=other) == [
        ("hidden", "warning", DATA)
    ]


def test_one_file_in_the_place_of_another_is_what_it_is_for() -> None:
    caddy = Mount("/etc/caddy/Caddyfile", "bind", "/f/docker/Caddyfile")
    tree = {caddy.target: Tree("file", {"": "1"})}
    assert found(mounts=[caddy], trees=tree) == []
    assert found(mounts=[caddy], trees=tree, trees_before={caddy.target: Tree("file", {"": "0"})})


def test_an_empty_directory_of_the_image_hides_nothing() -> None:
    assert found(mounts=[NAMED], trees={DATA: Tree("directory")}) == []


# -- written where nothing keeps it --------------------------------------------------------------------------------


def test_files_outside_every_mount_go_with_the_next_recreate() -> None:
    written = ["/home/agent/work/a.txt", "/home/agent/work/deep/b.txt", "/srv/x"]
    shadows = found(written=written, attached=[Attached(DATA, "v")])
    assert [(item.kind, item.path) for item in shadows] == [
        ("unsaved", "/home/agent/work"),
        ("unsaved", "/srv"),
    ]
    assert shadows[0].files == ("/home/agent/work/a.txt", "/home/agent/work/deep/b.txt")


@pytest.mark.parametrize(
    "path",
    [
        "/tmp/x",
        "/run/a.pid",
        "/var/log/y",
        "/etc/hosts",
        f"{ROOT_HOME}/.ash_history",
        "/home/agent/.gitconfig",
        "/home/agent/.config/tea/config.yml",
        "/config/caddy/autosave.json",
        "/app/lib/__pycache__/m.cpython-311.pyc",
        f"{DATA}/in-the-mount",
        DATA,
    ],
)
def test_what_a_running_system_writes_anyway_is_not_data(path: str) -> None:
    assert found(written=[path], attached=[Attached(DATA, "v")]) == []


def test_the_mountpoint_of_a_tmpfs_is_not_data() -> None:
    scratch = Mount("/scratch", "tmpfs")
    assert found(written=["/scratch"], mounts=[scratch], attached=[]) == []
    other = Mount("/made", "volume", "new-in-the-file")
    assert found(written=["/made/x"], mounts=[other], attached=[]), (
        "it is not mounted yet, and would be dropped"
    )


def test_the_clones_that_edge_makes_anew_are_no_data_and_the_results_in_them_are() -> None:
    clones = ["/opt/disinto/bin/x", "/opt/disinto/.git/HEAD", "/opt/disinto-ops/vault/actions/a.toml"]
    assert found(written=clones) == []
    (shadow,) = found(written=[*clones, "/opt/disinto-ops/vault/actions/a.result.json"])
    assert shadow.files == ("/opt/disinto-ops/vault/actions/a.result.json",)


def test_data_below_usr_src_is_data() -> None:
    (shadow,) = found(written=["/usr/src/app/data/a.db", "/usr/bin/x"])
    assert shadow.files == ("/usr/src/app/data/a.db",)


def test_a_file_in_the_root_is_not_cured_by_a_mount_over_everything() -> None:
    (shadow,) = found(written=["/x"])
    assert "at / " not in shadow.cure


def test_claudes_login_is_data() -> None:
    (shadow,) = found(written=["/home/agent/.claude/.credentials.json"])
    assert shadow.path == "/home/agent/.claude"


# -- the host's side -----------------------------------------------------------------------------------------------


def test_a_missing_source_that_docker_makes_a_directory_of() -> None:
    file = Mount("/home/agent/disinto/.env", "bind", "/f/.env", creates=True)
    folder = Mount("/shared", "bind", "/f/shared", creates=True)
    sources = {"/f/.env": "missing", "/f/shared": "missing"}
    assert kinds(mounts=[file, folder], sources=sources) == [
        ("source-missing", "problem", file.target),
        ("source-missing", "note", "/shared"),
    ]


def test_a_missing_source_without_leave_to_make_it_stops_the_service() -> None:
    (shadow,) = found(mounts=[Mount("/s", "bind", "/f/s")], sources={"/f/s": "missing"})
    assert (shadow.severity, shadow.loss) == ("problem", "agents cannot be started anew")


def test_a_directory_in_the_place_of_a_file() -> None:
    key = Mount("/run/secrets/tunnel_key", "bind", "/f/secrets/tunnel_key", creates=True)
    assert kinds(mounts=[key], sources={key.source: "empty directory"}) == [("mix-up", "problem", key.target)]
    folder = Mount("/home/agent/.ssh", "bind", f"{ROOT_HOME}/.ssh")
    assert found(mounts=[folder], sources={f"{ROOT_HOME}/.ssh": "empty directory"}) == []


def test_an_empty_directory_with_a_dot_in_its_name_is_not_taken_for_a_file() -> None:
    site = Mount("/srv/example.com", "bind", "/f/site", creates=True)
    assert found(mounts=[site], sources={site.source: "empty directory"}) == []


def test_a_path_with_a_blank_is_quoted_in_the_command() -> None:
    key = Mount("/k/tunnel_key", "bind", "/my f/tunnel_key")
    (shadow,) = found(mounts=[key], sources={key.source: "empty directory"})
    assert "`rmdir '/my f/tunnel_key'`" in shadow.cure
    (moved,) = found(mounts=[Mount("/d", "bind", "/my f/d")], attached=[Attached("/d", HEX)])
    assert "-v '/my f/d:/to'" in moved.cure


@pytest.mark.parametrize(
    ("tree", "here"),
    [(Tree("file", {"": "1"}), "directory"), (Tree("directory"), "file")],
)
def test_file_and_directory_mixed_up_with_what_the_image_has(tree: Tree, here: str) -> None:
    shadows = found(mounts=[Mount("/a", "bind", "/f/a")], trees={"/a": tree}, sources={"/f/a": here})
    assert [item.kind for item in shadows if item.kind != "hidden"] == ["mix-up"]


# -- reading what Compose and the engine say -----------------------------------------------------------------------


def test_mounts_from_composes_own_json() -> None:
    definition = {
        "volumes": [
            {"type": "volume", "source": "agent-data", "target": f"{DATA}/", "volume": {}},
            {"type": "volume", "target": "/nameless", "volume": {}},
            {"type": "bind", "source": "/f/p", "target": "/p", "bind": {"create_host_path": True}},
            {"type": "tmpfs", "target": "/t"},
        ],
        "tmpfs": ["/run:size=1m"],
    }
    assert mounts_of(definition) == (
        NAMED,
        Mount("/nameless", "volume"),
        Mount("/p", "bind", "/f/p", creates=True),
        Mount("/t", "tmpfs"),
        Mount("/run", "tmpfs"),
    )
    assert mounts_of({}) == ()
    assert [mount.keeps for mount in mounts_of(definition)] == [True, False, True, False, False]


def test_mounts_of_a_container_in_a_stable_order() -> None:
    inspect = {
        "Mounts": [
            {"Type": "volume", "Name": HEX, "Destination": "/z"},
            {"Type": "bind", "Source": "/f", "Destination": "/a"},
        ]
    }
    a, z = attached_of(inspect)
    assert (a.target, a.anonymous, z.target, z.anonymous) == ("/a", False, "/z", True)


PATHS = st.sampled_from(["/data", "/data/sub", "/srv", "/home/agent/data", "/x/y"])


@given(
    declared=st.lists(PATHS, max_size=4),
    mounted=st.lists(PATHS, max_size=4),
    held=st.lists(PATHS, max_size=4),
)
def test_no_anonymous_volume_with_data_is_ever_passed_over(
    declared: list[str], mounted: list[str], held: list[str]
) -> None:
    """Whatever is declared and mounted: data without a name is named by exactly one finding."""
    held = list(dict.fromkeys(held))
    names = {path: f"{number:064x}" for number, path in enumerate(held)}
    shadows = found(
        declared=declared,
        mounts=[Mount(path, "volume", "named") for path in mounted],
        attached=[Attached(path, name) for path, name in names.items()],
        contents={name: Content(1, 1, "f") for name in names.values()},
    )
    assert sorted(item.volume for item in shadows if item.volume) == sorted(names.values())
    assert all(item.severity != "note" for item in shadows if item.volume)
    assert all(item.loss and item.cure and item.to_json()["text"] for item in shadows)
