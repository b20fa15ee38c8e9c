"""QTRAN-alt with the counterfactual networks of its paper (Son et al. 2019, section 3.4), in place of Q_jt itself.

qtran.py asks Q_jt at each action of an agent, one pass for each. The paper has a network that puts out a value for
every u_i at once, from agent i's features and what the others did:

    Q_jt^i(tau, ., u_-i) = Q(h_V(h_i) + sum_{j != i} h_Q(h_j, u_j)), one output per action

so that there are n values of one joint action, Q_jt^i(tau, (u_i, u_-i)). Each is fitted to a target of its own, and
L_opt and L_nopt are means over them, too. Arguments and logs are those of qtran.py; run it from the project's folder:

    python -m benchmark.studies.counterfactual --env-args penalty 1.5 --total-timesteps 2_000_000 --compile --seed 1
"""

import torch
from torch import nn
from torch.nn import functional as F

import qtran


class CounterfactualNetwork(nn.Module):
    """Q_jt^i for every agent i, with shared weights."""

    def __init__(self, hidden_dim, n_actions, joint_dim):
        super().__init__()
        self.own = nn.Sequential(nn.Linear(hidden_dim, joint_dim), nn.ReLU())  # h_V
        self.others = nn.Sequential(nn.Linear(hidden_dim + n_actions, joint_dim), nn.ReLU())  # h_Q
        self.head = nn.Sequential(nn.Linear(joint_dim, joint_dim), nn.ReLU(), nn.Linear(joint_dim, n_actions))  # Q

    def forward(self, features, actions):
        """features [T, B, n_agents, hidden_dim], actions [T, B, n_agents] -> [T, B, n_agents, n_actions]."""
        one_hot = F.one_hot(actions, self.head[-1].out_features).float()
        h_q = self.others(torch.cat([features, one_hot], -1))  # [T, B, n_agents, joint_dim]
        return self.head(self.own(features) + h_q.sum(-2, keepdim=True) - h_q)


def compute_loss(networks, target_networks, batch, args):
    """As in qtran.py, whose equations (3) to (10) these are, with a Q_jt for every agent."""

    def at(values, actions):  # [T, B, n_agents, n_actions], [T, B, n_agents] -> [T, B, n_agents]
        return (values * F.one_hot(actions, values.shape[-1])).sum(-1)

    q_i, features = networks["agent"](batch.inputs[:-1])  # [T, B, n_agents, n_actions], [T, B, n_agents, hidden_dim]
    greedy = q_i.masked_fill(~batch.avail_actions[:-1], -torch.inf).argmax(-1)  # [T, B, n_agents] ubar
    q_taken, q_greedy = at(q_i, batch.actions), at(q_i, greedy)  # [T, B, n_agents]
    q_jt_each = networks["joint"](features, batch.actions)  # [T, B, n_agents, n_actions]
    q_jt = at(q_jt_each, batch.actions)  # [T, B, n_agents] at u
    with torch.no_grad():
        first = 0 if args.recurrent else 1  # a GRU starts at row 0, whose output is dropped
        target_q_i, target_features = (x[1 - first :] for x in target_networks["agent"](batch.inputs[first:]))
        next_greedy = target_q_i.masked_fill(~batch.avail_actions[1:], -torch.inf).argmax(-1)  # [T, B, n_agents] ubar'
        target_value = at(target_networks["joint"](target_features, next_greedy), next_greedy)  # [T, B, n_agents]
        target_value = target_value.masked_fill(batch.terminated[..., None], 0)
        td_target = batch.reward[..., None] + args.gamma * target_value  # [T, B, n_agents] (6)
        q_jt_greedy = at(networks["joint"](features, greedy), greedy)  # [T, B, n_agents] at ubar
    v_jt = networks["value"](features) if args.value_net else torch.zeros_like(batch.reward)  # [T, B]
    q_prime = q_taken.sum(-1)  # [T, B]
    d_greedy = (q_greedy.sum(-1) + v_jt)[..., None] - q_jt_greedy  # [T, B, n_agents] (3) at ubar
    d_each = (q_prime[..., None] - q_taken)[..., None] + q_i - q_jt_each.detach() + v_jt[..., None, None]  # (9)
    d_min = d_each.masked_fill(~batch.avail_actions[:-1], torch.inf).amin(-1)  # [T, B, n_agents]
    per_step = {  # [T, B] each
        "losses/td": ((q_jt - td_target) ** 2).mean(-1),  # (6)
        "losses/opt": (d_greedy**2).mean(-1),  # (7)
        "losses/nopt": (d_min**2).mean(-1),  # (10)
        "values/target": td_target.mean(-1),
        "values/q_jt": q_jt.mean(-1),
        "values/q_prime": q_prime,
        "values/v_jt": v_jt,
        "values/abs_d_greedy": d_greedy.abs().mean(-1),
    }
    mask = batch.mask / batch.mask.sum()  # [T, B]
    means = (torch.stack([*per_step.values()]) * mask).sum((1, 2))
    td, opt, nopt, *_ = means
    return td + args.lambda_opt * opt + args.lambda_nopt * nopt, dict(zip(per_step, means))  # (5)


def make_networks(env, args):
    networks = original_networks(env, args)
    networks["joint"] = CounterfactualNetwork(args.hidden_dim, env.n_actions, args.joint_dim)
    return networks


original_networks = qtran.make_networks

if __name__ == "__main__":
    qtran.compute_loss, qtran.make_networks = compute_loss, make_networks
    args = qtran.parse()
    if args.variant == "base" or args.td_target == "factored" or args.double_q:
        qtran.exit_with_error("the study is of --variant alt --td-target joint --no-double-q alone")
    qtran.main(args)
