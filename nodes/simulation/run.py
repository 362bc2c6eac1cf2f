"""One run of the deployed machines on virtual time, and what its nodes have come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from nervenet.models.own_questions import asks

from ..config.schema import Experiment
from ..federated.client_worker import ClientWorker
from ..federated.coordinator_machine import CoordinatorMachine
from ..gossip.algorithms.registry import has_rounds
from ..launching.regions.placed import with_bytes_above
from ..launching.regions.plan import Region, Regions, at_the_top, in_a_region, regions_of
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.model_worker import ModelWorker
from ..runtime.settling import settled
from ..runtime.simulator import Answer, SimulatedWorker
from .churn import let_come_and_go
from .machines import VirtualNode, VirtualNodes
from .network import VirtualNetwork
from .nodes import COORDINATOR, Machine, Peers, Rows, client, coordinator, region_coordinator, unless_stopped
from .outcome import Outcome
from .recording import Recording
from .regions import VirtualAggregator
from .stacking import Stacks
from .work import VirtualWorker, step_s

FLOODED = 32  # peers, up to which the surveys of round 0 go from neighbor to neighbor; of n peers n² do
PATIENCE = 10  # deadlines of a round, as the machines have it
MOST_BYTES = 2**30  # of the rounds of one node, in one piece


class WithoutSurvey:
    """A worker that tells nothing in round 0, which is settled for all at once."""

    def __init__(self, worker: SimulatedWorker) -> None:
        self._worker = worker

    def __call__(self, effect: e.Effect) -> tuple[float, Answer]:
        return (0.0, None) if isinstance(effect, e.Survey) else self._worker(effect)


class MachineRun:
    """The nodes of an experiment; `run` runs them."""

    def __init__(
        self, experiment: Experiment, rows: Rows, name: str, recording: Recording, stopped: Callable[[], bool]
    ) -> None:
        self._experiment, self._recording, self._stopped = experiment, recording, stopped
        simulation = experiment.simulation
        self._seed = experiment.seed if simulation.seed is None else simulation.seed
        patience_s = PATIENCE * experiment.deadline_s + experiment.network.join_deadline_s
        patience_s += experiment.network.rejoin_deadline_s
        self._nodes = VirtualNodes(VirtualNetwork(simulation, self._seed), recording, patience_s)
        self._workers: dict[str, ModelWorker] = {}
        self._entered: dict[str, VirtualNode] = {}  # of an aggregator: its half in its region
        self._aggregators: dict[str, VirtualAggregator] = {}
        self._stacks = Stacks()
        if experiment.mode == "federated":
            self._federated(rows, name)
        else:
            self._gossip(rows, name)
        let_come_and_go(self._nodes, rows.nodes, simulation, self._seed)

    def run(self, outcome: Outcome) -> None:
        """Run to the end, and note in `outcome` what came of it, also where that was stopped."""
        nodes = self._nodes
        try:
            failed = nodes.run_to_end(self._stopped)
        finally:
            outcome.virtual_s = nodes.now
            for name, worker in self._workers.items():
                node = self._entered[name]
                if node.alive:
                    _report(node, worker, outcome)
            for name, aggregator in self._aggregators.items():
                if name in outcome.results:
                    outcome.results[name] = with_bytes_above(outcome.results[name], aggregator.moved)
        outcome.failed = failed or self._failure()

    def _failure(self) -> str:
        """Return why the run has no result, as a launcher has it."""
        lost = self._recording.lost
        before = list(takewhile(lambda name: name != COORDINATOR, lost))
        if self._aggregators and self._aggregators.keys() <= set(before):  # then it has but waited for them
            first = next(name for name in before if name in self._aggregators)
            return f"every region was lost; {first}: {lost[first]}"
        if COORDINATOR in lost:
            return f"{COORDINATOR}: {lost[COORDINATOR]}"
        if not {*self._workers} - {COORDINATOR, *lost}:
            node = min(lost)
            return f"every node was lost; {node}: {lost[node]}"
        return ""

    def _federated(self, rows: Rows, run: str) -> None:
        if regions := regions_of(self._experiment, run):
            self._in_regions(rows, regions)
            return
        self._enter(COORDINATOR, COORDINATOR, *coordinator(self._experiment, rows, list(rows.nodes)))
        for name in unless_stopped(rows.nodes, self._stopped):
            self._enter(name, "client", *client(self._experiment, rows, name, run))
            self._nodes.dial(name, COORDINATOR)

    def _in_regions(self, rows: Rows, regions: Regions) -> None:
        made = coordinator(at_the_top(self._experiment), rows, list(regions.aggregators))
        aggregators = self._aggregators

        def begin() -> None:
            """Begin above once no region is waited for any more, as the roster of a launched run has it."""
            known = all(each.gathered or each.failed for each in aggregators.values())
            there = [(each, each.gathered) for each in aggregators.values() if each.gathered and not each.failed]
            if known and there and COORDINATOR not in self._entered:
                self._enter(COORDINATOR, COORDINATOR, *made)
                for each, gathered in there:
                    each.enroll(gathered)

        for region in regions.all:
            self._region(region, rows, begin)

    def _region(self, region: Region, rows: Rows, on_known: Callable[[], None]) -> None:
        experiment, name = in_a_region(self._experiment, len(region.clients)), region.name
        for _ in unless_stopped((name,), self._stopped):
            made = region_coordinator(experiment, rows, name, region.clients)
        below = self._enter(name, COORDINATOR, *made, region=name)
        self._aggregators[name] = VirtualAggregator(self._nodes, below, region, experiment, on_known)
        for each in unless_stopped(region.clients, self._stopped):
            self._enter(each, "client", *client(experiment, rows, each, region.run, name), region=name)
            self._nodes.dial(each, name)

    def _gossip(self, rows: Rows, run: str) -> None:
        experiment, peers = self._experiment, Peers(self._experiment, rows, run)
        by_rounds = has_rounds(experiment.gossip.algorithm)
        for name in unless_stopped(peers.names, self._stopped):
            self._enter(name, "peer", *peers.peer(name), until=experiment.rounds if by_rounds else None)
        for name in peers.names:
            for other in () if by_rounds else peers.neighbors[name]:  # by rounds the machine links by itself
                self._nodes.dial(name, other)
            self._nodes.post(name, ev.Proceed(experiment.rounds, last=not by_rounds))
        model = self._workers[peers.names[0]].site_model.model
        if len(peers.names) > FLOODED and experiment.init is None and not asks(model):
            self._settle_at_once(peers.names)

    def _settle_at_once(self, names: Sequence[str]) -> None:
        """Settle round 0 once, from the statistics of all peers, in place of a flood in which each tells all others."""
        nodes, workers = self._nodes, self._workers
        for name in names:
            nodes.nodes[name].worker = WithoutSurvey(nodes.nodes[name].worker)

        def settle() -> None:
            sites = {name: workers[name].site_model for name in names}
            ready = settled([workers[names[0]]], sites, None)
            nodes.post(names[0], ready)
            agreed = e.ApplyAgreement(agreement=ready.agreement)
            for name in names[1:]:
                nodes.post(name, workers[name].apply_agreement(agreed))

        nodes.at(self._experiment.simulation.latency_s, settle)

    def _enter(
        self, name: str, role: str, machine: Machine, worker: ModelWorker, until: int | None = None, region: str = ""
    ) -> VirtualNode:
        seconds = step_s(self._experiment.simulation, self._seed, name)
        virtual = VirtualWorker(worker, seconds, self._stacks)
        node = self._nodes.enter(name, role, machine, worker, virtual, until=until, region=region)
        self._workers[name], self._entered[name] = worker, node
        site = worker.site_model
        self._nodes.publish(node, "node.joined", {"pid": 0, "address": ""})
        held = {"examples": site.examples, "held_out": sum(site.held_out.values())} if site.examples else {}
        where = {"region": region} if region else {}
        self._nodes.publish(node, "node.ready", {"pid": 0, **held, **where})
        return node


def _report(node: VirtualNode, worker: ModelWorker, outcome: Outcome) -> None:
    """Note what a node reports at its end, as `launching.final_report` has it."""
    site_model, machine = worker.site_model, node.machine
    fields = node.stats.report(node.counters)
    if not node.lower:  # the run's rounds and its model are for the coordinator above to report
        outcome.rounds[node.name] = list(node.stats.history.to_reports(MOST_BYTES))
    if node.finished is not None and node.finished.status == "failed":
        fields["failed"] = node.finished.reason
    outcome.results[node.name] = fields
    if isinstance(machine, CoordinatorMachine):
        outcome.site_counts |= machine.run.evaluation.counts
        if (best := machine.run.evaluation.best) is not None:
            fields["best"] = {"round": best.round, "metrics": dict(best.metrics)}
            fields["best"] |= {"clock": best.clock} if best.clock else {}
            if best.weights is not machine.run.weights:
                outcome.best[node.name] = best.weights
    if not site_model.built or node.lower:  # the run failed before
        return
    weights, clock = _model_of(machine, worker)
    if clock:
        fields["clock"] = clock
    if weights is not None:
        fields |= {"layout": site_model.layout.to_dict(), "agreement": site_model.preprocessing.to_dict()}
        outcome.arrays[node.name] = weights


def _model_of(machine: Any, worker: ModelWorker) -> tuple[Any, float]:
    """Return the weights that a node reports, None of a client without its own, and their schedule's clock."""
    if isinstance(machine, CoordinatorMachine):
        return machine.run.weights, machine.run.clock
    if isinstance(worker, ClientWorker):
        return worker.personal, worker.site_model.clock
    return machine.weights, machine.clock if worker.site_model.scheduled else 0.0
