"""Which inputs go, beside the best repair of every choice."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from vggc.pruning.elimination import Problem, by_scores, eliminate, remaining


def best_loss(problem, kept):
    """The least squared error with some inputs left, over the ridge that elimination uses."""
    covariance = problem.covariance + 1e-3 * np.trace(problem.covariance) / len(problem.covariance) * np.eye(
        len(problem.covariance)
    )
    difference = remaining(problem, kept) - problem.weights
    return float((difference * (covariance @ difference)).sum())


def problem_of(random, atoms, outputs=3):
    """The problem of inputs that go together, of 200 rows."""
    mixing = 0.4 * random.normal(size=(len(atoms), len(atoms))) / np.sqrt(len(atoms)) + np.eye(len(atoms))
    x = random.normal(size=(200, len(atoms))) @ mixing + 1.0
    return Problem(np.cov(x, rowvar=False), random.normal(size=(len(atoms), outputs)), np.array(atoms))


@pytest.mark.parametrize("seed", range(4))
def test_losses_are_those_of_the_best_repair(seed):
    random = np.random.default_rng(seed)
    problems = [problem_of(random, [0, 0, 1, 1, 2, 2, -1]), problem_of(random, [2, 0, 1, 3], outputs=9)]
    found = eliminate(4, problems)
    assert sorted(found.order) == [0, 1, 2, 3]
    assert found.losses[0] == 0
    for gone in range(1, 4):
        kept = np.sort(found.order[gone:])
        assert found.losses[gone] == pytest.approx(sum(best_loss(each, kept) for each in problems), rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_to_go_is_the_best_one(seed):
    random = np.random.default_rng(seed)
    problems = [problem_of(random, list(range(6)))]
    found = eliminate(6, problems)
    losses = {out: best_loss(problems[0], np.setdiff1d(np.arange(6), [out])) for out in range(6)}
    assert found.order[0] == min(losses, key=losses.get)
    # Going one by one is near the best choice of three, and never better than it.
    best = min(best_loss(problems[0], np.array(kept)) for kept in combinations(range(6), 3))
    assert best * (1 - 1e-3) <= found.losses[3] <= 2.5 * best


def test_what_another_input_can_replace_costs_nothing():
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 3))
    x = np.hstack([x, x[:, :1] - x[:, 1:2]])
    problem = Problem(np.cov(x, rowvar=False), random.normal(size=(4, 5)), np.arange(4))
    found = eliminate(4, [problem])
    assert found.losses[1] < 0.01 * found.losses[2]


def test_costs_that_nothing_repairs_count():
    random = np.random.default_rng(0)
    problems = [problem_of(random, [0, 1, 2])]
    assert eliminate(3, problems, np.array([1e6, 0, 1e6])).order[0] == 1


def test_many_atoms_go_several_at_a_time():
    random = np.random.default_rng(0)
    found = eliminate(200, [problem_of(random, list(range(200)), outputs=4)])
    assert sorted(found.order) == list(range(200))
    assert len(found.losses) == 200
    assert (np.diff(found.losses) >= 0).all()


def test_scores_as_an_order():
    found = by_scores(np.array([3.0, 1.0, 2.0]))
    assert list(found.order) == [1, 2, 0]
    assert list(found.losses) == [0, 1, 3]
    assert list(found.scores) == [2, 0, 1]
