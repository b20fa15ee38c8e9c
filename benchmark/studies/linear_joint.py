"""QTRAN whose Q_jt is a sum over agents, linear in their features: is it Q_jt that keeps it behind VDN?

    Q_jt(tau, u) = sum_i w_{u_i} h_i + b_{u_i}

can be written as Q' exactly, and is learned as VDN learns its Q_tot; all else is that of qtran.py, whose arguments and
logs it has. It is no use as an algorithm. Run it from the project's folder:

    python -m benchmark.studies.linear_joint --env pettingzoo:mpe2.simple_spread_v3 --total-timesteps 300_000 \
        --start-e 1.0 --exploration-fraction 0.05 --limit-ends --compile --seed 1
"""

import torch
from torch import nn
from torch.nn import functional as F

import qtran


class LinearJointNetwork(nn.Module):
    """In place of qtran.JointNetwork; `encoder` puts out each agent's term for each of its actions."""

    def __init__(self, hidden_dim, n_actions, joint_dim):
        super().__init__()
        self.encoder = nn.Linear(hidden_dim, n_actions)

    def forward(self, encoded, actions):
        """encoded [T, B, n_agents, n_actions], the encoder's output; actions [T, B, n_agents] -> q_jt [T, B]."""
        return (encoded * F.one_hot(actions, encoded.shape[-1])).sum((-1, -2))

    @torch.no_grad()
    def counterfactual(self, encoded, actions):
        """Q_jt had agent i alone acted otherwise, for every i and u_i (9): [T, B, n_agents, n_actions]."""
        taken = (encoded * F.one_hot(actions, encoded.shape[-1])).sum(-1)  # [T, B, n_agents]
        return encoded + (taken.sum(-1, keepdim=True) - taken)[..., None]


if __name__ == "__main__":
    qtran.JointNetwork = LinearJointNetwork
    qtran.main(qtran.parse())
