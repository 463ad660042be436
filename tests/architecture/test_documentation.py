"""The pages keep what they promise about the user's documents."""

import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"

# Directories of the user's document E, "Project Structure", that hold code or deployment.
USER_DIRECTORIES = (
    "web-app", "mobile-app", "api-gateway", "strategy-engine", "risk-management",
    "portfolio-tracker", "order-execution", "market-data-collector", "notification-service",
    "brokers/*-service", "monitoring-service", "configuration-service", "dto", "constants",
    "kafka", "redis", "rate-limiter", "postgres", "clickhouse", "mongodb", "docker", "kubernetes",
    "databases",
)  # fmt: skip
# Protocols of the user's document E, "Communication Protocols".
USER_PROTOCOLS = ("gRPC", "HTTP", "Kafka")


def test_architecture_page_when_read_then_every_directory_of_the_user_has_a_place() -> None:
    """B13: each directory of the documents maps to a path that exists, or says it is later."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|$", page, flags=re.MULTILINE)

    assert [name for name in USER_DIRECTORIES if not any(name in left for left, _ in rows)] == []
    for _, right in rows:
        places = re.findall(r"`((?:jts_trading|storage)/\w+)`", right)
        assert places or "later" in right or "PostgreSQL" in right
        assert [place for place in places if not (DOCS.parent / place).is_dir()] == []


def test_architecture_page_when_read_then_every_protocol_of_the_user_is_translated() -> None:
    """E20: the table names each protocol of the documents and what stands for it here."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    table = page.split("## How parts talk")[1]

    assert [name for name in USER_PROTOCOLS if f"| {name} |" not in table] == []
    assert "Redis Streams" in table


def test_decisions_when_listed_then_each_has_its_four_parts() -> None:
    """B43: every decision says context, choice, what was rejected and the cost; numbers run on."""
    pages = sorted((DOCS / "adr").glob("*.md"))

    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        missing = [
            part
            for part in ("Context", "Choice", "Rejected", "Cost")
            if f"**{part}.**" not in text
        ]
        assert missing == [], page.name


def test_datasets_page_when_compared_with_the_declarations_then_it_is_up_to_date() -> None:
    """B14: every dataset and column stands on the page with its kind and meaning."""
    ended = subprocess.run(
        [sys.executable, str(DOCS / "generate_datasets.py"), "--check"], check=False
    )

    assert ended.returncode == 0, "run docs/generate_datasets.py"
