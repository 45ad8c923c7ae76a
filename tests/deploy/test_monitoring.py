"""Rules, runbook, metrics page and board agree with each other and with what the services export."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest

from dev.env_example import service_names, settings_of
from services.publisher.metrics import Metrics as PublisherMetrics
from shared.settings import declared
from tests.deploy.exported import EVERYONE, Exported, all_series, exported

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RULE_TESTS = sorted((ROOT / "tests/deploy/prometheus").glob("*.test.yml"))
BOARD = ROOT / "deploy/grafana/boards/oi-pipeline.json"
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool (apt: prometheus)")
SERIES = re.compile(r"\b(?:pipeline[_:][a-z0-9_:]+|process_[a-z_]+|up)\b")


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def recorded() -> set[str]:
    return set(re.findall(r"- record: (\S+)", (PROMETHEUS / "rules.yml").read_text()))


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", (PROMETHEUS / "alerts.yml").read_text())


def expressions(rules: Path) -> list[str]:
    """The `expr` of each rule: on its line, or indented below it."""
    found = re.findall(r"^ +expr: (?:\|\n((?: {10}.*\n)+)|(.+)$)", rules.read_text(), re.MULTILINE)
    return [block or line for block, line in found]


def documented() -> dict[str, list[tuple[str, str, tuple[str, ...]]]]:
    """docs/metrics.md: service -> its rows of metric, type, labels."""
    rows: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {}
    heading = ""
    for line in (ROOT / "docs/metrics.md").read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| `pipeline_"):
            name, kind, labels, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            assert meaning, line
            rows.setdefault(heading, []).append(
                (name.strip("`"), kind, tuple(label.strip() for label in labels.split(",") if label.strip()))
            )
    return rows


@pytest.mark.parametrize("service", service_names())
def test_the_page_lists_what_the_service_exports_and_nothing_else(service: str) -> None:
    def row(metric: Exported) -> tuple[str, str, tuple[str, ...]]:
        return (metric.name, metric.kind, metric.labels)

    found, of_all = [row(metric) for metric in exported(service)], documented()["every service"]
    (bad_rows,) = [told for told in of_all if told[0] == "pipeline_bad_rows_total"]
    assert bad_rows in found
    assert documented()[service] == [told for told in found if told != bad_rows]


def test_every_metric_has_one_prefix_and_no_symbol_label() -> None:
    metrics = [metric for service in service_names() for metric in exported(service)]
    assert len(metrics) > 40
    assert [metric.name for metric in metrics if not metric.name.startswith("pipeline_")] == []
    assert [metric.name for metric in metrics if "symbol" in metric.labels] == []


def test_the_board_takes_whichever_prometheus_there_is() -> None:
    """A fixed uid is that of one installation: anywhere else each panel says "not found"."""
    board = json.loads(BOARD.read_text())
    (variable,) = board["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    panels = [panel for panel in board["panels"] if panel["type"] != "text"]
    used = [part["datasource"] for panel in panels for part in (panel, *panel["targets"])]
    assert len(used) > 20
    assert {(source["type"], source["uid"]) for source in used} == {("prometheus", "${datasource}")}


@pytest.mark.parametrize("file", ["rules.yml", "alerts.yml"])
def test_rules_ask_only_for_what_exists(file: str) -> None:
    """An alert on a metric that was renamed never fires, and nobody notices."""
    found = expressions(PROMETHEUS / file)
    asked = {name for expr in found for name in SERIES.findall(re.sub(r'"[^"]*"', "", expr))}

    assert len(found) == (PROMETHEUS / file).read_text().count("expr:")
    assert asked
    assert asked - all_series() - recorded() == set()


def test_each_alert_has_its_entry_in_the_runbook_and_each_entry_its_alert() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    links = re.findall(r"runbook: docs/runbook.md#(\w+)", (PROMETHEUS / "alerts.yml").read_text())

    assert headings == alerts()
    assert links == [name.lower() for name in alerts()]


def test_each_alert_has_a_test_that_fires_it() -> None:
    text = "".join(file.read_text() for file in RULE_TESTS)
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n\s+- exp_labels", text))
    quiet = set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", text))
    assert fired == quiet == set(alerts())


def test_both_scrape_configurations_name_every_service_on_its_port() -> None:
    for name, host in (("prometheus.yml", None), ("compose.yml", "own")):
        text = (PROMETHEUS / name).read_text()
        targets = dict(re.findall(r'targets: \["([\w.]+:\d+)"\], labels: { service: (\w+) }', text))
        assert sorted(targets.values()) == service_names()
        for target, service in targets.items():
            assert target.split(":")[0] == (service if host else "127.0.0.1")
            assert int(target.split(":")[1]) == default_port(service)


def default_port(service: str) -> int:
    return int(next(item.default or "" for item in declared(settings_of(service)) if item.name == "METRICS_PORT"))


@needs_promtool
def test_promtool_accepts_configuration_and_rules() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    promtool("check", "config", PROMETHEUS / "compose.yml")


def test_one_prometheus_can_watch_two_hosts_as_the_page_says(tmp_path: Path) -> None:
    (command,) = re.findall(r"^sed .*/prometheus.yml$", (ROOT / "docs/two-hosts.md").read_text(), re.MULTILINE)
    config = tmp_path / "prometheus.yml"
    shutil.copy(PROMETHEUS / "prometheus.yml", config)
    subprocess.run(command.replace("/etc/prometheus/prometheus.yml", str(config)), shell=True, check=True)
    found = dict(re.findall(r"targets: \[(.*)\], labels: { service: (\w+) }", config.read_text()))
    wanted = {name: [f"10.77.0.{n}:{default_port(name)}" for n in (1, 2)] for name in service_names()}
    assert {name: json.loads(f"[{targets}]") for targets, name in found.items()} == wanted


@needs_promtool
def test_promtool_runs_the_tests_of_the_rules() -> None:
    promtool("test", "rules", *RULE_TESTS)


def board_expressions() -> list[str]:
    panels = json.loads(BOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_the_board_asks_only_for_what_exists() -> None:
    asked = {name for expr in board_expressions() for name in SERIES.findall(re.sub(r'"[^"]*"', "", expr))}
    assert len(board_expressions()) >= 15
    assert asked - all_series() - recorded() == set()


@needs_promtool
def test_promtool_can_read_every_expression_of_the_board(tmp_path: Path) -> None:
    rules = [{"record": f"board:{n}", "expr": expr} for n, expr in enumerate(board_expressions())]
    file = tmp_path / "board.yml"
    file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))  # JSON is YAML
    promtool("check", "rules", file)


def test_what_every_service_exports_is_really_there() -> None:
    """`EVERYONE` is written by hand: two of its names come from the client library."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    page = generate_latest(registry).decode()
    assert [name for name in EVERYONE if name.startswith("process_") and f"\n{name} " not in page] == []


def test_counters_that_alerts_watch_for_an_increase_begin_at_zero() -> None:
    """A series that first appears at 1 has not increased, for Prometheus: the first event would be missed."""
    registry = CollectorRegistry()
    PublisherMetrics(registry)
    page = generate_latest(registry).decode()
    assert 'pipeline_cycles_total{verdict="FOREIGN"} 0.0' in page
    assert 'pipeline_lost_sweeps_total{cause="retention"} 0.0' in page
