"""`formulas`, `run`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.cli.credentials import read_secrets, secret_stdin_option
from disinto_tui.core.errors import BadInput, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.formula import Formula
    from disinto_tui.core.plan import Plan
    from disinto_tui.core.redact import Secret
    from disinto_tui.runs.formulas import Listed


@click.command()
@click.argument("name", required=False)
@session_options()
def formulas(session: Session, name: str | None) -> int:
    """The formulas of this factory and of this tool; with NAME (or a file), one of them whole.

    A file with mistakes is listed with the first one; `disinto formulas NAME` shows them all.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.runs.formulas import find_formula, list_formulas

    instance = Instance.at(session.directory)
    if name is not None:
        return _show(session, find_formula(instance, name))
    found = list_formulas(instance)
    if session.output.as_json:
        session.output.document([_document(item) for item in found])
        return ExitCode.DONE
    width = max((len(item.formula.name) for item in found), default=0)
    for item in found:
        formula = item.formula
        first = formula.description.strip().split("\n")[0]
        wrong = next((problem for problem in formula.problems if problem.severity == "error"), None)
        if wrong is not None:
            first = f"line {wrong.line}: {wrong.message}"
        shadow = "  (another one of this name comes before)" if item.shadowed else ""
        session.output.data(f"{formula.name:<{width}}  {_kind(formula):<10}  {first}{shadow}".rstrip())
    if not found:
        session.output.say(f"There are no formulas; yours belong into {instance.path / 'formulas'}.")
    return ExitCode.DONE


def _kind(formula: Formula) -> str:
    if not formula.valid:
        return "✗ invalid"
    from disinto_tui.core.words import counted

    return counted(len(formula.steps), "step") if formula.executable else "prose"


def _document(item: Listed) -> dict[str, Any]:
    from dataclasses import asdict

    formula = item.formula
    plain = asdict(formula)
    return {**plain, "path": str(item.path), "executable": formula.executable, "valid": formula.valid}


def _show(session: Session, item: Listed) -> int:
    formula = item.formula
    if session.output.as_json:
        session.output.document(_document(item))
    else:
        for line in _lines(item):
            session.output.data(line)
    if formula.valid:
        return ExitCode.DONE
    if not session.output.as_json:
        for problem in formula.problems:
            session.output.say(f"✗ {problem}")
    return ExitCode.BAD_INPUT


def _lines(item: Listed) -> Iterator[str]:
    from disinto_tui.core.text import neutralise

    formula = item.formula
    yield f"{formula.name}  version {formula.version}  {item.path}"
    for line in formula.description.strip().splitlines():
        yield f"  {neutralise(line)}".rstrip()
    for variable in formula.variables:
        default = (
            "required" if variable.required else f"default {variable.default!r}" if variable.default else ""
        )
        yield f"  --set {variable.name}=…  {default}  {neutralise(variable.description)}".rstrip()
    for number, step in enumerate(formula.steps, start=1):
        what = f"uses {step.uses}" if step.uses else "script" if step.run else "prose"
        extra = [f"needs {', '.join(step.needs)}"] if step.needs else []
        extra += [f"secrets {', '.join(step.secrets)}"] if step.secrets else []
        extra += [f"at most {step.timeout:g} s"] if step.timeout else []
        extra += [f"tried again {step.retries}×"] if step.retries else []
        yield f"{number:>3}. {step.id:<16} {neutralise(step.title)}  ({'; '.join([what, *extra])})"
        for line in (step.run or step.description).strip().splitlines():
            yield f"     │ {neutralise(line)}".rstrip()


@click.command("run")
@click.argument("name")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A variable of the formula.")
@secret_stdin_option
@session_options(changes=True)
def run(session: Session, name: str, settings: tuple[str, ...], secret_stdin: tuple[str, ...]) -> int:
    """Run the executable steps of a formula, by its name or its file.

    Each step's check is asked first, so that a run that failed half-way goes on with `disinto resume`. Secrets are
    looked for under their names (--secret-stdin, the environment, the keyring, secrets/<NAME>.enc), or asked for, and
    reach the steps that name them.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.cli.stack import do_plan
    from disinto_tui.runs.formulas import find_formula, plan_formula
    from disinto_tui.runs.holder import refuse_unfinished
    from disinto_tui.runs.project import project_name

    values: dict[str, str] = {}
    given = read_secrets(secret_stdin)
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise BadInput(
                "A variable cannot be read.",
                f"`--set {text}` has no name and value.",
                "Set variables like `--set name=value`.",
                code="formula.variable",
            )
        values[key] = value

    async def work() -> ExitCode:
        instance = Instance.at(session.directory)
        refuse_unfinished(instance)
        plan = plan_formula(instance, find_formula(instance, name), values, project_name(instance))
        secrets = {} if session.dry_run else await secrets_of(instance, plan.secrets, given)
        if not session.output.as_json:
            _show_steps(session, plan)
        return await do_plan(session, instance, plan, question="Run it?", secrets=secrets)

    return wait_for(work())


def _show_steps(session: Session, plan: Plan) -> None:
    write = session.output.data if session.dry_run else session.output.say
    for number, step in enumerate(plan.steps, start=1):
        write(f"{number:>3}. {step.id:<16} {step.title}")
        told = step.params.get("script") or f"{step.op} {json.dumps(step.params, ensure_ascii=False)}"
        for line in str(told).strip().splitlines():
            write(f"     │ {line}".rstrip())


async def secrets_of(instance: Instance, names: Sequence[str], given: Mapping[str, Secret]) -> dict[str, str]:
    """The values of secrets by name: from wherever they are kept, else asked for.

    Raises BadInput `secret.missing` without a terminal to ask on, and what makes one that is there unusable.
    """
    from disinto_tui.adapters.credentials import CredentialFinder

    finder, found = CredentialFinder(instance.path, given), {}
    for name in names:
        held, trouble = await finder.find(name), finder.unusable(name)
        if held is None and trouble is not None:
            raise trouble
        value = held.value.reveal() if held is not None else ""
        if not value and sys.stdin.isatty():
            value = click.prompt(name, hide_input=True, err=True)
        if not value:
            raise BadInput(
                f"The secret {name} is missing.",
                "The formula names it, and it is neither in the environment nor in the keyring nor in secrets/.",
                f"Set it for this one command ({name}=… disinto run …), or pipe it in with --secret-stdin {name}.",
                code="secret.missing",
            )
        found[name] = value
    return found
