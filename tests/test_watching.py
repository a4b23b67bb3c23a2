"""What a run shows, and that Ctrl-C is heard: once to end well, twice to end."""

import os
import signal
import time

import pytest
from dlmd_finetune.watching import PLAIN_EVERY_S, Watch, clock, smooth

STEP = {
    "step": 3,
    "of": 3,
    "reward": 0.5,
    "passed": 0.25,
    "distance": 0.01,
    "seconds": 2.0,
    "rollout_s": 1.5,
    "learn_s": 0.5,
    "dev": 0.75,
}


def test_the_last_step_is_always_told(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch(time.monotonic() + 600) as watch:
        watch.step(STEP | {"step": 1})  # the first, and then not before PLAIN_EVERY_S
        watch.step(STEP | {"step": 2})
        watch.step(STEP)
        watch.say("done")
    told = capsys.readouterr().err
    assert PLAIN_EVERY_S > 1
    assert "step 1 of 3" in told and "step 2 of 3" not in told
    for said in ("step 3 of 3", "reward 0.500", "pass rate 25 %", "dev 75 %", "KL (k2) 0.0100"):  # fmt: skip
        assert said in told, said
    assert "10 min of the budget left" in told


def test_ctrl_c_once_is_a_wish_and_twice_an_order() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Watch(time.monotonic() + 1) as watch:
        assert not watch.interrupted
        os.kill(os.getpid(), signal.SIGINT)
        assert watch.interrupted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_numbers_for_people() -> None:
    assert (clock(59), clock(3900), clock(-5)) == ("1 min", "1 h 05 min", "0 min")
    assert smooth(None, 2.0) == 2.0 and smooth(1.0, 2.0) == pytest.approx(1.2)
