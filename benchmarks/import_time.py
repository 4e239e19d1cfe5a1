"""How long `import hfclient` takes, and what it loads, each import in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

from side_by_side import Cost, Costs, say, show

ROUNDS = 15
BASELINE = "import httpx, pydantic"
STATEMENTS = (
    BASELINE,
    "import hfclient",
    "from hfclient import Client",
    "import httpx; from pydantic import BaseModel",
    "from huggingface_hub import AsyncInferenceClient",
)
BOUNDS = {"import hfclient": 1.6, "from hfclient import Client": 1.6}
HEAVY = (
    "aiohttp",
    "huggingface_hub",
    "mlx",
    "numpy",
    "opentelemetry",
    "PIL",
    "starlette",
    "tenacity",
    "torch",
    "transformers",
)
PROBE = """
import sys, time
before = len(sys.modules)
cpu, wall = time.process_time(), time.perf_counter()
{statement}
print(time.process_time() - cpu, time.perf_counter() - wall, len(sys.modules) - before)
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def run(statement: str) -> tuple[Cost, int, set[str]]:
    """The import's cost, how many modules it loaded, and the top-level names among all that are loaded then."""
    command = [sys.executable, "-c", PROBE.format(statement=statement)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures, names = done.stdout.splitlines()
    cpu, wall, modules = figures.split()
    return Cost(float(cpu), float(wall)), int(modules), set(names.split())


def main() -> None:
    loaded = {statement: run(statement)[1:] for statement in STATEMENTS}
    costs: Costs = {statement: [] for statement in STATEMENTS}
    for _ in range(ROUNDS):
        for statement, mine in costs.items():
            mine.append(run(statement)[0])
    show("import time", costs, against=BASELINE, bounds=BOUNDS, unit="ms")
    say("")
    for statement, (modules, names) in loaded.items():
        heavy = ", ".join(name for name in HEAVY if name in names) or "nothing heavy"
        say(f"  {statement}: {modules} modules; {heavy}")


if __name__ == "__main__":
    main()
