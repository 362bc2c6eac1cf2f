"""What a peer has exchanged is counted, and reported as often as those of one process can be heard."""

from __future__ import annotations

import pytest
from nervenet.nodes.gossip.exchange_stats import ExchangeStats, pause_s
from nervenet.nodes.gossip.lifecycle import PeerLifecycle
from nervenet.nodes.gossip.rules import PeerRules
from nervenet.nodes.gossip.survey_flood import SurveyFlood
from nervenet.nodes.runtime import effects as e


def said(effects: list[e.Effect]) -> list[tuple[str, str, int]]:
    published = [each for each in effects if isinstance(each, e.Publish)]
    return [(each.type, each.fields["subject"], each.fields["count"]) for each in published]


def exchanged(stats: ExchangeStats, *peers: str) -> None:
    for peer in peers:
        stats.sent(peer)
        stats.received(peer, 100)


@pytest.mark.parametrize(("peers", "pause"), [(1, 0.25), (4, 0.25), (16, 1.0), (64, 4.0), (250, 4.0)])
def test_the_more_peers_share_a_process_the_less_often_each_reports(peers: int, pause: float) -> None:
    rules = PeerRules(name="a", members=("a", "b"), hosted=peers)
    stats = PeerLifecycle(rules, SurveyFlood.of(rules, ("b",)), unit="round").stats
    assert pause_s(peers) == pause
    exchanged(stats, "b")
    assert said(stats.report(10.0, 1)) == [("exchange.sent", "b", 1), ("exchange.received", "b", 1)]
    exchanged(stats, "b")
    assert stats.report(10.0 + 0.9 * pause, 2) == []
    exchanged(stats, "b")
    assert said(stats.report(10.0 + pause, 3)) == [("exchange.sent", "b", 2), ("exchange.received", "b", 2)]


def test_the_last_report_does_not_wait() -> None:
    stats = ExchangeStats(pause_s(64))
    exchanged(stats, "b")
    stats.report(0.0, 1)
    exchanged(stats, "b", "c")
    assert len(said(stats.report(0.5, 2, last=True))) == 4
