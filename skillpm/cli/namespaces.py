"""`registry namespace`: namespaces, their members, and trusted publishing."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.output import emit_json, emit_line, emit_table
from skillpm.cli.serving import CONFIG
from skillpm.cli.state import Command, State, ask_on_terminal, command_client, global_params
from skillpm.errors import UsageError

if TYPE_CHECKING:
    from skillpm.spec.registry_people import MemberList, NamespaceList, PublisherList

_ROLES = ("owner", "maintainer", "publisher", "reader")


@click.group(params=global_params())
def namespace() -> None:
    """Create namespaces and manage their members.

    Works on the registry's own machine, and elsewhere with a token that has the action `admin`.
    """


@namespace.command("create", cls=Command)
@click.argument("name", metavar="NS", help="Namespace: `acme`.")
@click.option("--owner", metavar="PRINCIPAL", help="Owner (default: you).")
@click.option("--private", is_flag=True, help="Hide it from everybody without a role in it.")
@CONFIG
@click.pass_obj
def create(
    state: State, name: str, owner: str | None, config: Path | None, *, private: bool
) -> None:
    r"""Create a namespace.

    \b
    Examples:
      skillpm registry namespace create acme --owner alice
      skillpm registry namespace create secret --private
    """
    from skillpm.api.serving import administration
    from skillpm.spec.fields import read_document
    from skillpm.spec.registry_people import NamespaceRequest

    plain = {"name": name, "owner": owner, "private": private}
    request = read_document(NamespaceRequest, plain, "the namespace")
    with administration(command_client(state), config) as registry:
        created = registry.create_namespace(request)
    if state.json:
        emit_json(created.to_dict())
    else:
        emit_line(f"created the namespace {created.name}")


@namespace.command("set", cls=Command)
@click.argument("name", metavar="NS", help="Namespace: `acme`.")
@click.option("--private", is_flag=True, help="Hide it from everybody without a role in it.")
@CONFIG
@click.pass_obj
def set_(state: State, name: str, config: Path | None, *, private: bool) -> None:
    r"""Update the visibility of a namespace.

    With --private, the releases of the namespace leave all public documents at once. A private
    namespace cannot become public again, so the command asks first if it runs on a terminal.

    \b
    Example:
      skillpm registry namespace set acme --private
    """
    from skillpm.api.serving import administration
    from skillpm.spec.registry_people import NamespaceChange

    if not private:
        raise UsageError(
            "`namespace set` needs what to change",
            hint=f"`skillpm registry namespace set {name} --private`",
        )
    question = f"make {name} private? It cannot become public again."
    if ask_on_terminal(state, question) is False:
        raise UsageError("the namespace was not changed", hint="add `-y` to change it")
    with administration(command_client(state), config) as registry:
        changed = registry.change_namespace(_checked(name), NamespaceChange(private=True))
    if state.json:
        emit_json(changed.to_dict())
    else:
        emit_line(f"{changed.name} is private")


@namespace.command("grant", cls=Command)
@click.argument("name", metavar="NS", help="Namespace: `acme`.")
@click.argument(
    "principal", metavar="PRINCIPAL", help="User or service, as the registry knows it: `bob`."
)
@click.option("--role", type=click.Choice(_ROLES), default="publisher", show_default=True,
              help="Role in the namespace.")  # fmt: skip
@CONFIG
@click.pass_obj
def grant(state: State, name: str, principal: str, role: str, config: Path | None) -> None:
    r"""Give a principal a role in a namespace.

    Readers read; publishers publish new versions; maintainers also publish new skills and yank;
    owners also manage members. A new role replaces the old one.

    \b
    Example:
      skillpm registry namespace grant acme bob --role maintainer
    """
    from skillpm.api.serving import administration
    from skillpm.spec.fields import read_document
    from skillpm.spec.registry_people import MemberRequest

    request = read_document(MemberRequest, {"principal": principal, "role": role}, "the role")
    with administration(command_client(state), config) as registry:
        members = registry.grant(_checked(name), request)
    if state.json:
        emit_json(members.to_dict())
    else:
        emit_line(f"{principal} is {role} of {name}")


@namespace.command("revoke", cls=Command)
@click.argument("name", metavar="NS", help="Namespace: `acme`.")
@click.argument(
    "principal", metavar="PRINCIPAL", help="User or service, as the registry knows it: `bob`."
)
@CONFIG
@click.pass_obj
def revoke(state: State, name: str, principal: str, config: Path | None) -> None:
    r"""Remove a principal from a namespace.

    \b
    Example:
      skillpm registry namespace revoke acme bob
    """
    from skillpm.api.serving import administration

    with administration(command_client(state), config) as registry:
        registry.revoke(_checked(name), principal)
    if state.json:
        emit_json({"namespace": name, "principal": principal, "revoked": True})
    else:
        emit_line(f"{principal} has no role in {name}")


@namespace.command("list", cls=Command)
@click.argument(
    "name",
    metavar="[NS]",
    default="",
    help="Namespace whose members to list (default: list namespaces).",
)
@CONFIG
@click.pass_obj
def list_(state: State, name: str, config: Path | None) -> None:
    r"""List namespaces, or the members of one.

    \b
    Examples:
      skillpm registry namespace list
      skillpm registry namespace list acme
    """
    from skillpm.api.serving import administration

    with administration(command_client(state), config) as registry:
        if name:
            _show_members(state, registry.members(_checked(name)), registry.publishers(name))
        else:
            _show_namespaces(state, registry.namespaces())


def _show_namespaces(state: State, found: "NamespaceList") -> None:
    if state.json:
        emit_json(found.to_dict())
        return
    rows = [
        (row.name, "private" if row.private else "public", row.role or "-")
        for row in found.namespaces
    ]
    if rows:
        emit_table(rows, ("namespace", "kind", "your role"))
    else:
        state.say("the registry has no namespaces")


def _show_members(state: State, members: "MemberList", rules: "PublisherList") -> None:
    if state.json:
        emit_json({**members.to_dict(), **rules.to_dict()})
        return
    emit_table(
        [(row.principal, row.role, row.since) for row in members.members],
        ("principal", "role", "since"),
    )
    if rules.publishers:
        emit_line()
        emit_table(
            [
                (rule.id, rule.pattern, rule.issuer,
                 ", ".join(f"{key}={value}" for key, value in rule.claims.items()))
                for rule in rules.publishers
            ],
            ("rule", "skills", "issuer", "claims"),
        )  # fmt: skip


@namespace.command("trust", cls=Command)
@click.argument("name", metavar="NS", help="Namespace: `acme`.")
@click.option("--issuer", required=True, metavar="URL", help="OIDC issuer of the CI service.")
@click.option("--claim", "claims", metavar="NAME=VALUE", multiple=True, required=True,
              help="Claim that a token must have. Repeatable.")  # fmt: skip
@click.option("--pattern", metavar="PATTERN", help="Skills (default: all of the namespace).")
@click.option("--new", is_flag=True, help="Allow publishing skills that do not exist yet.")
@CONFIG
@click.pass_obj
def trust(
    state: State, name: str, issuer: str, claims: tuple[str, ...], pattern: str | None,
    config: Path | None, *, new: bool,
) -> None:  # fmt: skip
    r"""Let a CI workflow publish without a stored token.

    The registry must know the issuer. Claims name the repository by its immutable ids, and the
    workflow; a final `*` leaves the Git reference of a workflow open.

    \b
    Example:
      skillpm registry namespace trust acme --issuer https://token.actions.githubusercontent.com \
        --claim repository_id=123 --claim repository_owner_id=45 \
        --claim 'job_workflow_ref=acme/skills/.github/workflows/release.yml@*'
    """
    from skillpm.api.serving import administration
    from skillpm.spec.fields import read_document
    from skillpm.spec.registry_people import PublisherRequest

    plain = {
        "issuer": issuer, "claims": dict(map(_claim, claims)), "new": new,
        "pattern": pattern or f"{name}/*",
    }  # fmt: skip
    request = read_document(PublisherRequest, plain, "the rule")
    with administration(command_client(state), config) as registry:
        rule = registry.trust(_checked(name), request)
    if state.json:
        emit_json(rule.to_dict())
    else:
        emit_line(f"rule {rule.id}: workflows of {issuer} may publish {rule.pattern}")


@namespace.command("distrust", cls=Command)
@click.argument("name", metavar="NS", help="Namespace: `acme`.")
@click.argument("rule", metavar="RULE", help="Number of the rule, as `namespace list` shows it.")
@CONFIG
@click.pass_obj
def distrust(state: State, name: str, rule: str, config: Path | None) -> None:
    r"""Remove a rule of trusted publishing.

    The tokens of the namespace's workflows end at once. `namespace list NS` shows the rules.

    \b
    Example:
      skillpm registry namespace distrust acme 3
    """
    from skillpm.api.serving import administration

    with administration(command_client(state), config) as registry:
        registry.distrust(_checked(name), rule)
    if state.json:
        emit_json({"namespace": name, "rule": rule, "removed": True})
    else:
        emit_line(f"removed rule {rule} of {name}")


def _checked(name: str) -> str:
    """The name of a namespace. Raises `UsageError`."""
    from skillpm.spec.names import is_half

    if not is_half(name):
        raise UsageError(f"`{name}` is not a namespace", hint="write it like `acme`")
    return name


def _claim(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (separator and name and value):
        raise UsageError(
            f"`--claim {text}` is not a claim", hint="write it like `repository_id=123`"
        )
    return name, value
