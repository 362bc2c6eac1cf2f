"""Which events the sources publish: read off their syntax trees, so that no code path needs to be run to be known.

Understood are ``Publish("type", {…})``, ``publish("type", field=…)`` and their like, with a literal type; the fields
are those of a map written down in the call, or under the name or in the function that the call refers to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SHARED = (
    "nodes/results/run_result.py",
    "broker/security/refusals.py",
)  # whose functions make fields that others publish
CALLS = {"Publish", "publish", "_publish", "say", "_say", "_own"}
ROLES = {
    "nodes/federated/admission.py": ["coordinator"],
    "nodes/federated/task_dispatch.py": ["coordinator"],
    "nodes/federated/run_state.py": ["coordinator"],
    "nodes/federated/region.py": ["coordinator"],
    "nodes/federated/round_zero.py": ["coordinator"],
    "nodes/federated/quorum.py": ["coordinator"],
    "nodes/federated/sync_rounds.py": ["coordinator"],
    "nodes/federated/large/folding.py": ["coordinator"],
    "nodes/federated/large/leaving.py": ["coordinator"],
    "nodes/federated/async_buffer.py": ["coordinator"],
    "nodes/federated/coordinator_machine.py": ["coordinator"],
    "nodes/federated/client_registry.py": ["coordinator"],
    "nodes/roles/base.py": ["coordinator", "aggregator", "client", "peer"],
    "nodes/roles/coordinator.py": ["coordinator"],
    "nodes/federated/evaluation.py": ["coordinator"],
    "nodes/federated/assignment.py": ["client", "aggregator"],
    "nodes/federated/client_machine.py": ["client", "aggregator"],
    "nodes/federated/personalization.py": ["client"],
    "nodes/roles/client.py": ["client"],
    "nodes/gossip/large/peer.py": ["peer"],
    "nodes/gossip/lifecycle.py": ["peer"],
    "nodes/gossip/late_join.py": ["peer"],
    "nodes/gossip/round_machine.py": ["peer"],
    "nodes/gossip/membership/statements.py": ["peer"],
    "nodes/gossip/rounds.py": ["peer"],
    "nodes/gossip/all_reduce/rounds.py": ["peer"],
    "nodes/gossip/checkpointing.py": ["peer"],
    "nodes/roles/peer.py": ["peer"],
    "nodes/gossip/exchange_stats.py": ["peer"],
    "nodes/gossip/asynchronous/machine.py": ["peer"],
    "nodes/gossip/asynchronous/neighbors.py": ["peer"],
    "nodes/gossip/asynchronous/ad_psgd.py": ["peer"],
    "nodes/gossip/asynchronous/gossip_learning.py": ["peer"],
    "nodes/runtime/event_edge.py": ["monitor"],
    "nodes/runtime/question_progress.py": ["coordinator", "peer"],
    "nodes/runtime/auditing.py": ["coordinator", "aggregator", "client", "peer"],
    "nodes/runtime/secured.py": ["coordinator", "aggregator", "client", "peer"],
    "nodes/runtime/session.py": ["coordinator", "aggregator", "client", "peer"],
    "nodes/runtime/connections.py": ["coordinator", "peer"],
    "nodes/runtime/node.py": ["coordinator", "aggregator", "client", "peer"],
    "nodes/launching/baselines.py": ["baseline"],
    "nodes/launching/announcements.py": ["launcher"],
    "nodes/launching/run_course.py": ["launcher"],
    "nodes/launching/run_ending.py": ["launcher"],
    "nodes/launching/run_events.py": ["launcher"],
    "nodes/launching/run_services.py": ["launcher"],
    "nodes/launching/standalone.py": ["coordinator"],
    "nodes/launching/supervisor.py": ["launcher"],
    "nodes/simulation/baselines.py": ["baseline"],
    "nodes/simulation/recording.py": ["launcher"],
    "nodes/simulation/simulate.py": ["launcher"],
    "broker/broker.py": ["broker"],
    "broker/refusal_reports.py": ["broker"],
    "broker/events.py": ["coordinator", "aggregator", "client", "peer", "launcher"],
    "broker/subscriber.py": ["monitor"],
}
"""Roles of the publisher, by file; a file that publishes and is not listed fails the test."""

Found = Iterator[tuple[str, str, set[str]]]


def published(root: Path) -> Found:
    """Yield (type, role, fields) for each place that publishes."""
    shared = {name: made for path in SHARED for name, made in _functions(ast.parse((root / path).read_text())).items()}
    for room in ("nodes", "broker"):
        for path in sorted((root / room).rglob("*.py")):
            for kind, fields in _in_tree(ast.parse(path.read_text()), shared):
                for role in ROLES.get(str(path.relative_to(root)), [f"unlisted: {path.name}"]):
                    yield kind, role, fields


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _in_tree(
    tree: ast.Module, shared: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]
) -> Iterator[tuple[str, set[str]]]:
    own = _functions(tree)
    functions = shared | own
    for function in own.values():
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and _name(call.func) in CALLS and call.args:
                kind = call.args[0]
                if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
                    fields = {word.arg for word in call.keywords if word.arg is not None}
                    for given in [*call.args[1:], *(word.value for word in call.keywords if word.arg is None)]:
                        fields |= _fields(given, function, functions)
                    yield kind.value, fields


def _fields(
    given: ast.expr, function: ast.AST, functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]
) -> set[str]:
    match given:
        case ast.Dict():
            return _keys(given)
        case ast.Name(id=name):
            return _stored(function, name, functions)
        case ast.Call(func=func) if _name(func) in functions:
            inside = list(ast.walk(functions[_name(func)]))
            called = [
                functions[_name(n.func)] for n in inside if isinstance(n, ast.Call) and _name(n.func) in functions
            ]
            return {key for node in (*inside, *(n for each in called for n in ast.walk(each))) for key in _keys(node)}
        case _:
            return set()


def _stored(function: ast.AST, name: str, functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]) -> set[str]:
    """What a function puts into the map of a name."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and target.id == name:
                    found |= _keys(node.value)
                    found |= _fields(node.value, function, functions) if isinstance(node.value, ast.Call) else set()
                if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id == name:
                    found |= {target.slice.value} if isinstance(target.slice, ast.Constant) else set()
    return found


def _keys(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and isinstance(node.slice, ast.Constant):
        return {str(node.slice.value)}
    if not isinstance(node, ast.Dict):
        return set()
    return {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def _name(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
