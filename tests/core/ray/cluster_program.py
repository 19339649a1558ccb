"""A program of Ray Data: asks about rows with two workers, and writes what came of them.

`python cluster_program.py FOLDER URL COUNT`: FOLDER has the images; `rows.json`, the workers' ids
and the ledger are written there.
"""

import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray.util import list_named_actors

from qwen_vl import QwenVLSettings
from qwen_vl.bulk import Job
from qwen_vl.ray import QwenVLStage, SharedBudget

KILLING_ROW = 200


class WatchedStage(QwenVLStage):
    """Notes in which process it is, and kills the budget's actor once."""

    def __init__(self, job: Job, workers: Path, **options: Any) -> None:
        super().__init__(job, **options)
        self._killed = workers.with_name("budget-is-killed")
        (workers / str(os.getpid())).touch()

    async def __call__(self, batch: Any) -> AsyncIterator[Any]:
        if KILLING_ROW in batch["number"].to_pylist() and not self._killed.exists():
            self._killed.touch()
            ray.kill(ray.get_actor("budget/test", namespace="qwen-vl"))
        async for table in super().__call__(batch):
            yield table


def main(folder: Path, url: str, count: int) -> None:
    """Ask about the rows."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # Both, however slowly they start.
    context.wait_for_min_actors_s = 600
    workers = folder / "workers"
    workers.mkdir(exist_ok=True)
    # Paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as temporary:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            _temp_dir=temporary,
        )
        settings = QwenVLSettings(base_url=url, media_roots=[folder])
        rows = [{"image": f"{number}.png", "number": number} for number in range(count)]
        dataset = ray.data.from_items(rows, override_num_blocks=4).map_batches(
            WatchedStage,
            fn_constructor_kwargs={
                "job": Job(settings=settings, prompt="Is this number {number}?"),
                "workers": workers,
                "store": folder / "store",
                "budget": SharedBudget(rpm=3_000, warm_up=0, name="test"),
            },
            batch_format="pyarrow",
            batch_size=25,
            num_cpus=0.5,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        found = dataset.take_all()
        names = [actor["name"] for actor in list_named_actors(all_namespaces=True)]
        written = json.dumps({"rows": found, "actors": names})
        (folder / "rows.json").write_text(written, encoding="utf-8")
        ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
