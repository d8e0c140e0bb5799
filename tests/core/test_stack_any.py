"""Any factory whatever: what holds for every stack."""

from __future__ import annotations

from dataclasses import replace

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.model import AGENT_VOLUMES, Ci, Factory, Images, LocalAgent, Ports, Project
from disinto_tui.core.stack import (
    GeneratedBy,
    HostFacts,
    StackInputs,
    agents_services,
    build_stack,
    dump_compose,
    inspect_header,
)
from disinto_tui.core.stack_env import env_skeleton
from disinto_tui.core.stack_forms import environment, mounts

NAMES = st.from_regex(r"[a-z]([a-z0-9]|-[a-z0-9]){0,5}", fullmatch=True)
APP = Project("app", "acme/app", "acme/app-ops", ci=Ci(7))
AGENTS = st.builds(
    lambda name, model, roles: LocalAgent(
        name, "http://10.0.0.5", model, roles=roles, forge_user=f"{name}-bot"
    ),
    NAMES,
    st.text("ab$ {}:#'\"", min_size=1, max_size=6),
    st.lists(st.sampled_from(["dev", "review"]), min_size=1, max_size=2, unique=True).map(tuple),
)
FACTORIES = st.builds(
    Factory,
    forge=st.sampled_from(["bundled", "external"]),
    project=st.sampled_from(["disinto", "acme_2"]),
    bind=st.sampled_from(["", "127.0.0.1", "::1"]),
    ports=st.builds(Ports, forge=st.sampled_from([0, 3000]), http=st.sampled_from([0, 80])),
    images=st.builds(Images, edge=st.sampled_from(["", "a/e:1"]), reproduce=st.sampled_from(["", "a/r:1"])),
)
INPUTS = st.builds(
    lambda agents, factory, mode, home, found: StackInputs(
        (replace(APP, agents=tuple(agents), factory=factory),),
        image_mode=mode,
        host=HostFacts(home, *[found] * 4),
    ),
    st.lists(AGENTS, max_size=3, unique_by=lambda agent: agent.service),
    FACTORIES,
    st.booleans(),
    st.sampled_from(["", "/root", "/home/o o$"]),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(INPUTS)
def test_any_factory(inputs: StackInputs) -> None:
    stack = build_stack(inputs)
    services = stack["services"]
    for name, service in services.items():
        assert ("image" in service) != ("build" in service), name
        for value in environment(service.get("environment")).values():
            assert isinstance(value, str)
        used = {m.source for m in mounts(service.get("volumes")).values() if m.kind == "volume"}
        assert used <= set(stack["volumes"]), name
        for needed in service.get("depends_on", {}):
            assert needed in services
    for name in agents_services(stack):
        assert set(AGENT_VOLUMES) <= set(mounts(services[name]["volumes"])), name
    text = dump_compose(stack, tool_version="1.0")
    assert yaml.safe_load(text) == stack
    assert inspect_header(text) == GeneratedBy("1.0", True)
    EnvFile.parse(env_skeleton(inputs, {"AGENTS_IMAGE": "a/b:v1.0.0"}).encode())
