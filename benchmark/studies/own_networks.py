"""A script with a network for every agent, in place of one that all share: is it the sharing that fails?

In the authors' code of Gaussian squeeze every agent of QTRAN has a network of its own. Here every agent has one in
whichever script; all else, arguments and logs included, is the script's. Run it from the project's folder:

    python -m benchmark.studies.own_networks qtran --env gaussian_squeeze --variant alt --seed 1
"""

import importlib
import sys

import torch
from torch import nn

SCRIPTS = ("iql", "vdn", "qmix", "qtran")


class OwnNetworks(nn.Module):
    """Agent of the scripts, once for each agent: agents[i] is agent i's."""

    def __init__(self, agents):
        super().__init__()
        self.agents = nn.ModuleList(agents)

    def forward(self, inputs, hidden=None):
        """As Agent: inputs [T, B, n_agents, input_dim] -> q_i and features, [T, B, n_agents, ..] both."""
        hidden = [None] * len(self.agents) if hidden is None else hidden.split(1, dim=2)
        each = zip(self.agents, inputs.split(1, dim=2), hidden, strict=True)
        q_i, features = zip(*(agent(x, h) for agent, x, h in each))
        return torch.cat(q_i, 2), torch.cat(features, 2)


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in SCRIPTS:
        given = repr(sys.argv[1]) if len(sys.argv) > 1 else "nothing"
        print(
            f"own_networks: error: the first argument must be one of {', '.join(SCRIPTS)}, got {given}", file=sys.stderr
        )
        sys.exit(2)
    script = importlib.import_module(sys.argv.pop(1))
    shared = script.Agent
    script.Agent = lambda env, *sizes: OwnNetworks(shared(env, *sizes) for _ in range(env.n_agents))
    script.main(script.parse())


if __name__ == "__main__":
    main()
