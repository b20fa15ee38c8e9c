"""What the benchmarks compute, against the published figures."""

import pytest

from benchmark import optimum


def test_optimum_of_predator_prey():
    assert optimum.predator_prey((0.5, 1.0, 1.5)) == pytest.approx([28.89, 25.74, 23.77], abs=0.05)


@pytest.mark.parametrize("n_domains, best", [(1, 7.246), (2, 7.661)])
def test_optimum_of_gaussian_squeeze(n_domains, best):
    assert optimum.gaussian_squeeze(n_domains, draws=300_000) == pytest.approx(best, abs=0.02)
