"""Kill trainings with SIGKILL at random moments, resume them, compare what they end with, byte for byte.

    PYTHONPATH=. python tests/benchmarks/train_kill.py [--kills 200] [--seed 0]

The real command on a small folder of sounds, saved after every update. What each kill hit is told from the files it
left. At the end the control: with the random state dropped from the checkpoint after each of 20 kills, the same
comparison must fail. Exit status 1 if a run ended otherwise than the undisturbed one, or the control did not.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.killing import Killer, Server, drop_random_state, words_for
from tests.test_train_command import own_sounds


def main():
    """Run the kills and print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of killing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        own_sounds(Path(folder) / "sounds")
        killer = Killer(server, Path(folder), words_for(Path(folder) / "sounds"), options.seed)
        started = time.perf_counter()
        wrong = killer.kill(options.kills)
        seconds = time.perf_counter() - started
        print(
            f"{killer.n_kills} kills in {killer.n_ended} runs, {seconds:.0f} s; ended otherwise: {len(wrong)} {wrong}"
        )
        for place, count in sorted(killer.places.items(), key=lambda item: -item[1]):
            print(f"{count:5}  {place}")
        n_ended = killer.n_ended
        noticed = killer.kill(20, after_kill=drop_random_state)
        print(f"control, random state dropped: {len(noticed)} of {killer.n_ended - n_ended} runs ended otherwise")
    sys.exit(bool(wrong) or not noticed)


if __name__ == "__main__":
    main()
