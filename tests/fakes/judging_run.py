"""The end of a run in processes that disagree about the time that is left.

    torchrun --nproc-per-node 2 -m tests.fakes.judging_run FOLDER

Prints, for each process, how many tasks it judged.
"""

import json
import sys
from pathlib import Path
from typing import Any

from dlmd_finetune import judging
from dlmd_finetune.rl import ranks
from dlmd_finetune.rl.policy import open_policy

from tests.fakes.learning_run import HashJudge
from tests.fakes.tiny import tiny_model_folder
from tests.fakes.toy_tasks import toy_mined


class NoForeign:
    """`judging.Foreign` that found nothing to look at."""

    def __init__(self) -> None:
        self.holes: list[Any] = [None, None]
        self.before = self.look()

    def look(self, policy: object = None) -> tuple[list[float], list[float]]:
        return [1.0, 1.0], [1.0, 1.0]

    intervals = judging.Foreign.intervals
    means = judging.Foreign.means


def main() -> None:
    folder = Path(sys.argv[1])
    ranks.join()
    mined = ranks.led(lambda: toy_mined(folder / "tree", 24))
    model = ranks.led(lambda: tiny_model_folder(folder / "model"))
    foreign: Any = NoForeign()
    foreign.holes = [type("Line", (), {"file": name}) for name in "ab"]
    judge: Any = HashJudge(folder / "tree")
    found = judging.judged(
        folder,
        mined,
        mined.of("test"),
        open_policy(model, rank=4, mode="exact"),
        judge,
        samples=2,
        seed=0,
        left=12.0 if ranks.rank() == 0 else 1.0,
        each_s=1.0,
        foreign=foreign,
        looks=1,
        say=lambda text: None,
    )
    counts = ranks.gathered(len(found["tasks"]))
    if ranks.rank() == 0:
        print(json.dumps(counts))
    ranks.leave()


if __name__ == "__main__":
    main()
