"""What the dashboard of docker-compose.yml draws is there: dashboard.py METRICS_URL... [--elsewhere NAME...]"""

import argparse
import json
import re
import urllib.request
from pathlib import Path

DASHBOARD = Path(__file__).parents[2] / "docker/grafana/tributary.json"


def drawn() -> set[str]:
    expressions = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    return {name for expression in expressions for name in re.findall(r"(?:tributary_|vllm:)\w+", expression)}


def served(url: str) -> set[str]:
    lines = urllib.request.urlopen(url, timeout=10).read().decode().splitlines()
    return {re.split(r"[{ ]", line)[0] for line in lines if line and not line.startswith("#")}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--elsewhere", nargs="*", default=[], help="metrics of parts that do not run here")
    arguments = parser.parse_args()
    names = drawn()
    missing = names - set().union(*map(served, arguments.urls))
    assert missing == set(arguments.elsewhere), f"the dashboard draws {sorted(missing)}, which nobody serves"
    print(f"  the dashboard's {len(names) - len(missing)} metrics are served")


main()
