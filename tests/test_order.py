"""Many orders together: what is left out, how many differ, and the map of when and where."""

from dlmd_finetune.evidence.order import arness, diversity, heat_map


def test_short_orders_are_left_out() -> None:
    found = arness([[0, 1, 2], [0]], ["a", "b"], 1, scope="local", seed=0)
    assert found is not None and found.value == 1
    assert arness([[0]], ["a"], 1, scope="local", seed=0) is None
    assert arness([[0]], ["a"], 1, scope="global", seed=0) is not None


def test_diversity() -> None:
    assert diversity(["a", "a", "a", "a"]) == 0.25
    assert diversity(["a", "b"]) == 1


def test_the_map_of_left_to_right_is_its_diagonal() -> None:
    found = heat_map([range(8), range(3, 19)], 4)
    assert found == tuple(tuple(float(x == y) for x in range(4)) for y in range(4))
    assert heat_map([range(8)[::-1]], 4)[0][3] == 1
