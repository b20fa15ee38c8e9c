"""The parts of the scripts, imported from the scripts: losses, agents, exploration, rollout, replay."""

import math
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import envs
import iql
import qmix
import qtran
import vdn

CPU = torch.device("cpu")
torch.manual_seed(0)
MIXER, TARGET_MIXER = qmix.Mixer(7, 2, 8), qmix.Mixer(7, 2, 8).requires_grad_(False)
LOSSES = {
    "iql": iql.iql_loss,
    "vdn": vdn.vdn_loss,
    "qmix": lambda q, target_q, batch, gamma: qmix.qmix_loss(q, target_q, MIXER, TARGET_MIXER, batch, gamma),
}
each_script = pytest.mark.parametrize("script", [iql, vdn, qmix, qtran], ids=lambda script: script.__name__)
ARGS = dict(hidden_dim=16, gamma=0.9, embed_dim=8, joint_dim=8, lambda_opt=0.7, lambda_nopt=1.3)
each_loss = pytest.mark.parametrize("algo", LOSSES)
both_agents = pytest.mark.parametrize("recurrent", [False, True], ids=["feed-forward", "recurrent"])


class Ragged:
    """A user's own environment: copies end at different times, actions are masked, one buffer is used again and again.

    Copy e terminates at step e + 1, if the limit of 4 does not come first. Action `t` is not available at step t. After
    the end nothing is available and the reward is garbage, which the caller has to ignore. Masks and ends are integers.
    """

    n_agents, n_actions, obs_dim, state_dim, episode_limit = 2, 4, 1, 1, 4

    def __init__(self, num_envs, seed):
        self.num_envs, self.forbidden_taken = num_envs, 0
        self.obs, self.state = np.zeros((num_envs, 2, 1), np.float32), np.zeros((num_envs, 1), np.float32)

    def _now(self, t):
        self.t = t
        self.obs[:] = self.state[:, None] = t
        self.avail_actions = np.ones((self.num_envs, 2, 4), int)
        if t < 4:
            self.avail_actions[:, :, t] = 0
        self.avail_actions[np.arange(self.num_envs) < t] = 0
        return self.obs, self.state

    def reset(self):
        return self._now(0)

    def step(self, actions):
        alive = np.arange(self.num_envs) >= self.t
        self.forbidden_taken += (actions[alive] == self.t).sum()
        reward = np.where(alive, np.float32(1), np.float32(np.nan))
        obs, state = self._now(self.t + 1)
        return obs, state, reward, (np.arange(self.num_envs) < self.t).astype(int)

    def render(self):
        return str(self.t)


def random_batch(T=5, B=3, n_agents=2, n_actions=4, seed=0, script=vdn):
    g = torch.Generator().manual_seed(seed)
    avail = torch.rand(T + 1, B, n_agents, n_actions, generator=g) < 0.6
    avail[..., 0] = True
    filled = torch.ones(T, B, dtype=torch.bool)
    filled[3:, 0] = False
    terminated = ~filled
    terminated[2, 0] = terminated[1, 1] = True
    return script.Batch(
        obs=torch.rand(T + 1, B, n_agents, 6, generator=g),
        state=torch.rand(T + 1, B, 7, generator=g),
        avail_actions=avail,
        actions=torch.randint(n_actions, (T, B, n_agents), generator=g),
        reward=torch.randn(T, B, generator=g),
        terminated=terminated,
        filled=filled,
    )


def random_q(batch, seed):
    return torch.randn(batch.avail_actions[1:].shape, generator=torch.Generator().manual_seed(seed))


def literal_mix(mixer, q, state):
    """Equation (1) of qmix.py, one number at a time."""

    def linear(layer, x):
        return [sum(w * y for w, y in zip(row, x)) + b for row, b in zip(layer.weight.tolist(), layer.bias.tolist())]

    state = state.tolist()
    w1, b1, w2 = linear(mixer.w1, state), linear(mixer.b1, state), linear(mixer.w2, state)
    q_tot = linear(mixer.v[2], [max(x, 0.0) for x in linear(mixer.v[0], state)])[0]
    for k in range(len(b1)):
        x = sum(abs(w1[i * len(b1) + k]) * q[i] for i in range(len(q))) + b1[k]
        q_tot += abs(w2[k]) * (x if x > 0 else math.exp(x) - 1)
    return q_tot


def literal_loss(algo, q, target_q, batch, gamma, mixer=MIXER, target_mixer=TARGET_MIXER):
    """The equations of the docstrings, one number at a time."""
    errors = []
    T, B, n_agents = batch.actions.shape
    for t in range(T):
        for b in range(B):
            if not batch.filled[t, b]:
                continue
            taken, best = [], []
            for i in range(n_agents):
                taken.append(q[t, b, i, batch.actions[t, b, i]].item())
                allowed = [u for u in range(q.shape[-1]) if batch.avail_actions[t + 1, b, i, u]]
                best.append(max(target_q[t, b, i, u].item() for u in allowed))
            more = 0.0 if batch.terminated[t, b] else gamma
            if algo == "qmix":
                q_tot = literal_mix(mixer, taken, batch.state[t, b])
                best_tot = literal_mix(target_mixer, best, batch.state[t + 1, b])
                errors.append(q_tot - (float(batch.reward[t, b]) + more * best_tot))
            elif algo == "vdn":
                errors.append(sum(taken) - (float(batch.reward[t, b]) + more * sum(best)))
            else:
                errors += [x - (float(batch.reward[t, b]) + more * y) for x, y in zip(taken, best)]
    return sum(e * e for e in errors) / len(errors)


# --- losses ---------------------------------------------------------------------------------------------------------


@each_loss
def test_loss_equals_its_equations_restated_literally(algo):
    for seed in range(5):
        batch = random_batch(seed=seed)
        q, target_q = random_q(batch, seed + 100), random_q(batch, seed + 200)
        loss, info = LOSSES[algo](q, target_q, batch, 0.9)
        assert loss.item() == pytest.approx(literal_loss(algo, q, target_q, batch, 0.9), rel=1e-5)
        assert info["losses/td"].item() == loss.item()


@each_loss
def test_truncation_bootstraps_and_termination_does_not(algo):
    batch = random_batch()
    batch = vdn.Batch(*(x[:2, :1] for x in batch[:3]), *(x[:1, :1] for x in batch[3:]))
    batch = batch._replace(reward=torch.zeros(1, 1))
    target_q = torch.full((1, 1, 2, 4), 10.0)
    q = torch.zeros(1, 1, 2, 4)
    value = {"iql": 10, "vdn": 20, "qmix": literal_mix(TARGET_MIXER, [10, 10], batch.state[1, 0])}[algo] * 0.9
    for terminated, target in ((False, value), (True, 0.0)):
        _, info = LOSSES[algo](q, target_q, batch._replace(terminated=torch.tensor([[terminated]])), 0.9)
        assert info["values/target"].item() == pytest.approx(target, rel=1e-5)


@each_loss
def test_unavailable_actions_do_not_enter_targets(algo):
    batch = random_batch()
    q, target_q = random_q(batch, 1), random_q(batch, 2)
    loss, _ = LOSSES[algo](q, target_q, batch, 0.9)
    tempting = target_q.masked_fill(~batch.avail_actions[1:], 1e6)
    assert LOSSES[algo](q, tempting, batch, 0.9)[0] == loss
    assert LOSSES[algo](q, target_q + 1, batch, 0.9)[0] != loss


@each_loss
def test_what_lies_beyond_the_end_does_not_count(algo):
    """Steps that are not filled, and the observation after a true end, even if nothing is available there."""
    batch = random_batch()
    q, target_q = random_q(batch, 1), random_q(batch, 2)
    loss, _ = LOSSES[algo](q, target_q, batch, 0.9)
    avail = batch.avail_actions.clone()
    avail[3:, 0] = avail[2, 1] = False  # terminated at steps 2 and 1
    reward = torch.where(batch.filled, batch.reward, 1e6)
    q = q.requires_grad_()
    same, _ = LOSSES[algo](q, target_q, batch._replace(avail_actions=avail, reward=reward), 0.9)
    assert same == loss
    same.backward()
    assert q.grad.isfinite().all() and not q.grad[3:, 0].any()


@each_loss
def test_gradient_reaches_the_taken_values_and_nothing_else(algo):
    batch = random_batch()
    q, target_q = random_q(batch, 1).requires_grad_(), random_q(batch, 2).requires_grad_()
    LOSSES[algo](q, target_q, batch, 0.9)[0].backward()
    assert target_q.grad is None
    taken = torch.nn.functional.one_hot(batch.actions, 4).bool() & batch.filled[..., None, None]
    assert (q.grad[taken] != 0).all() and (q.grad[~taken] == 0).all()


def test_vdn_gives_both_agents_the_same_gradient_and_iql_does_not():
    batch = random_batch()
    for algo, same in (("vdn", True), ("iql", False)):
        q = random_q(batch, 1).requires_grad_()
        LOSSES[algo](q, random_q(batch, 2), batch, 0.9)[0].backward()
        per_agent = q.grad.sum(-1)
        assert torch.allclose(per_agent[..., 0], per_agent[..., 1]) == same


# --- mixing ----------------------------------------------------------------------------------------------------------


def test_qmix_is_monotonic_for_any_weights_states_and_values():
    for seed in range(20):
        torch.manual_seed(seed)
        mixer = qmix.Mixer(7, 3, 16)
        for parameter in mixer.parameters():
            parameter.data.normal_(0, 2)
        q = (5 * torch.randn(10, 20, 3)).requires_grad_()
        mixer(q, 3 * torch.randn(10, 20, 7)).sum().backward()
        assert (q.grad >= 0).all() and (q.grad > 0).any()


def test_qmix_first_bias_moves_the_kink():
    q, state = torch.tensor([[[-1.0, -1.0]]]), torch.zeros(1, 1, 7)

    def slope(b1):
        mixer = qmix.Mixer(7, 2, 8)
        for parameter in mixer.parameters():
            parameter.data.fill_(0.5)
        mixer.b1.bias.data.fill_(b1)
        x = q.clone().requires_grad_()
        mixer(x, state).sum().backward()
        return x.grad[0, 0, 0].item()

    linear = 8 * 0.5 * 0.5  # beyond the kink: embed_dim * w2 * w1
    assert slope(b1=2.0) == pytest.approx(linear)
    assert slope(b1=0.0) == pytest.approx(linear * math.exp(-1.0), rel=1e-5)  # w1 (q_1 + q_2) = -1


def test_qmix_state_enters_only_by_the_hypernetworks():
    torch.manual_seed(0)
    mixer, q = qmix.Mixer(7, 2, 8), torch.randn(5, 4, 2)
    one, other = torch.randn(2, 5, 4, 7)
    assert (mixer(q, one) != mixer(q, other)).all()
    for layer in (mixer.w1, mixer.b1, mixer.w2, mixer.v[0]):
        layer.weight.data.zero_()
    assert torch.equal(mixer(q, one), mixer(q, other))


def test_qmix_best_joint_action_is_everyones_own_best():
    torch.manual_seed(0)
    mixer = qmix.Mixer(7, 3, 16)
    for _ in range(50):
        q, state = 3 * torch.randn(3, 4), torch.randn(7)
        joint = list(product(range(4), repeat=3))
        values = torch.stack([q[range(3), list(u)] for u in joint])  # [64, 3]
        q_tot = mixer(values[None], state.expand(1, 64, 7))[0]
        assert joint[q_tot.argmax()] == tuple(q.argmax(-1).tolist())


@pytest.mark.parametrize("name", ["agent", "mixer"])
def test_qmix_trains_the_mixer_and_the_agents(name):
    env, args = (
        SimpleNamespace(obs_dim=0, n_actions=4, n_agents=2, state_dim=7),
        SimpleNamespace(**ARGS, recurrent=True),
    )
    networks, targets = qmix.make_networks(env, args), qmix.make_networks(env, args).requires_grad_(False)
    qmix.compute_loss(networks, targets, random_batch(script=qmix), args)[0].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in networks[name].parameters())


# --- QTRAN ----------------------------------------------------------------------------------------------------------

ENV = SimpleNamespace(obs_dim=0, n_actions=4, n_agents=2, state_dim=7)  # of random_batch
both_variants = pytest.mark.parametrize("variant", ["base", "alt"])
both_targets = pytest.mark.parametrize("td_target", ["joint", "factored"])
both_values = pytest.mark.parametrize("value_net", [False, True], ids=["no value net", "value net"])


def qtran_args(variant, td_target="joint", value_net=True, recurrent=False):
    return SimpleNamespace(**ARGS, variant=variant, td_target=td_target, value_net=value_net, recurrent=recurrent)


def qtran_networks(args):
    """Online and target networks with weights so large that greedy actions differ from state to state."""
    torch.manual_seed(0)
    networks, targets = qtran.make_networks(ENV, args), qtran.make_networks(ENV, args).requires_grad_(False)
    for parameter in [*networks.parameters(), *targets.parameters()]:
        parameter.data.normal_(0, 0.5)
    return networks, targets


def random_values(variant, batch, seed=0):
    """q, q_jt, q_jt_greedy, q_jt_each, v_jt, target_value with the shapes that the loss takes for this variant."""
    g = torch.Generator().manual_seed(seed)
    T, B, n_agents = batch.actions.shape
    q, q_jt_each = torch.randn(2, T, B, n_agents, batch.avail_actions.shape[-1], generator=g)
    q_jt, q_jt_greedy, v_jt, target_value = torch.randn(4, T, B, generator=g)
    return [q, q_jt, q_jt_greedy, q_jt_each if variant == "alt" else None, v_jt, target_value]


def literal_qtran(q, q_jt, q_jt_greedy, q_jt_each, v_jt, target_value, batch, gamma):
    """L_td, L_opt and L_nopt as the paper's formulas say, one number at a time."""
    td, opt, nopt = [], [], []
    T, B, n_agents = batch.actions.shape
    n_actions = q.shape[-1]
    for t in range(T):
        for b in range(B):
            if not batch.filled[t, b]:
                continue
            u = [int(batch.actions[t, b, i]) for i in range(n_agents)]
            can = [[k for k in range(n_actions) if batch.avail_actions[t, b, i, k]] for i in range(n_agents)]
            ubar = [max(can[i], key=lambda k: q[t, b, i, k].item()) for i in range(n_agents)]

            def q_prime(joint_action):
                return sum(q[t, b, i, k].item() for i, k in enumerate(joint_action))

            v, r = v_jt[t, b].item(), float(batch.reward[t, b])
            more = 0.0 if batch.terminated[t, b] else gamma
            td.append(q_jt[t, b].item() - (r + more * target_value[t, b].item()))
            opt.append(q_prime(ubar) - q_jt_greedy[t, b].item() + v)
            if q_jt_each is None:
                nopt.append(min(q_prime(u) - q_jt[t, b].item() + v, 0.0))
                continue
            for i in range(n_agents):
                nopt.append(min(q_prime(u[:i] + [k] + u[i + 1 :]) - q_jt_each[t, b, i, k].item() + v for k in can[i]))
    return [sum(x * x for x in errors) / len(errors) for errors in (td, opt, nopt)]


@both_variants
def test_qtran_losses_equal_the_formulas_restated_literally(variant):
    for seed in range(5):
        batch = random_batch(seed=seed, n_agents=3)
        values = random_values(variant, batch, seed)
        loss, info = qtran.qtran_loss(*values, batch, 0.9, 0.7, 1.3)
        td, opt, nopt = literal_qtran(*values, batch, 0.9)
        assert [info[f"losses/{name}"].item() for name in ("td", "opt", "nopt")] == pytest.approx([td, opt, nopt])
        assert loss.item() == pytest.approx(td + 0.7 * opt + 1.3 * nopt)


@both_variants
@both_targets
@both_values
@both_agents
def test_qtran_wires_the_networks_as_the_equations_say(variant, td_target, value_net, recurrent):
    """compute_loss against the networks asked one state at a time, features being those of the same step."""
    args = qtran_args(variant, td_target, value_net, recurrent)
    networks, targets = qtran_networks(args)
    batch = random_batch(script=qtran)
    loss, info = qtran.compute_loss(networks, targets, batch, args)
    q, features = networks["agent"](batch.obs)
    target_q, target_features = targets["agent"](batch.obs)
    values = [None if x is None else torch.zeros_like(x) for x in random_values(variant, batch)]
    values[0] = q[:-1]
    T, B, n_agents = batch.actions.shape

    def best(q, avail_actions):
        return torch.tensor(
            [[[max((x, k) for k, x in enumerate(row) if can[k])[1] for row, can in zip(q, avail_actions)]]]
        )

    def q_jt(joint, h, u):
        return joint(joint.encoder(h[None, None]), u)[0, 0]

    for t in range(T):
        for b in range(B):
            h, next_h = features[t, b], target_features[t + 1, b]
            ubar = best(q[t, b].tolist(), batch.avail_actions[t, b])
            next_ubar = best(target_q[t + 1, b].tolist(), batch.avail_actions[t + 1, b])
            u = batch.actions[t : t + 1, b : b + 1]
            values[1][t, b] = q_jt(networks["joint"], h, u)
            values[2][t, b] = q_jt(networks["joint"], h, ubar)
            for i, k in product(range(n_agents), range(q.shape[-1])) if variant == "alt" else ():
                other = u.clone()
                other[0, 0, i] = k
                values[3][t, b, i, k] = q_jt(networks["joint"], h, other)
            if value_net:
                values[4][t, b] = networks["value"](h[None, None])[0, 0]
            if td_target == "joint":
                values[5][t, b] = q_jt(targets["joint"], next_h, next_ubar)
            else:
                values[5][t, b] = sum(target_q[t + 1, b, i, next_ubar[0, 0, i]] for i in range(n_agents))
                values[5][t, b] += targets["value"](next_h[None, None])[0, 0] if value_net else 0
    td, opt, nopt = literal_qtran(*values, batch, args.gamma)
    assert [info[f"losses/{name}"].item() for name in ("td", "opt", "nopt")] == pytest.approx([td, opt, nopt], rel=1e-4)
    assert loss.item() == pytest.approx(td + 0.7 * opt + 1.3 * nopt, rel=1e-4)


@both_variants
def test_qtran_gradients_at_the_inputs_of_the_loss(variant):
    """Q_jt learns from rewards alone: D has it fixed, at u and at ubar, and y is fixed, whatever is handed in."""
    batch = random_batch()
    for term, trained in (("td", {"q_jt"}), ("opt", {"q", "v_jt"}), ("nopt", {"q", "v_jt"})):
        values = [None if x is None else x.requires_grad_() for x in random_values(variant, batch)]
        qtran.qtran_loss(*values, batch, 0.9, 1, 1)[1][f"losses/{term}"].backward()
        names = ("q", "q_jt", "q_jt_greedy", "q_jt_each", "v_jt", "target_value")
        with_gradient = {
            name for name, x in zip(names, values) if getattr(x, "grad", None) is not None and x.grad.any()
        }
        assert with_gradient == trained


@both_variants
@both_targets
@both_agents
def test_qtran_each_term_trains_exactly_what_it_should(variant, td_target, recurrent):
    """L_td the joint network and the features; L_opt and L_nopt the Q_i and V_jt, and not the joint network."""
    args = qtran_args(variant, td_target, recurrent=recurrent)
    networks, targets = qtran_networks(args)
    batch = random_batch(script=qtran, T=8, B=20)
    features = {f"agent.{name}" for name, _ in networks["agent"].named_parameters() if not name.startswith("head")}
    expected = dict.fromkeys(["losses/opt", "losses/nopt"], features | {"agent.head.weight", "agent.head.bias"})
    expected = {name: trained | set(named(networks, "value")) for name, trained in expected.items()}
    expected["losses/td"] = features | set(named(networks, "joint"))
    expected["values/v_jt"] = features | set(named(networks, "value"))  # it, too, is made of the agents' features
    for term, names in expected.items():
        networks.zero_grad()
        qtran.compute_loss(networks, targets, batch, args)[1][term].backward()
        trained = {name for name, x in networks.named_parameters() if x.grad is not None and x.grad.abs().sum() > 0}
        assert trained == names, term
    assert all(parameter.grad is None for parameter in targets.parameters())


def named(networks, name):
    return [f"{name}.{parameter}" for parameter, _ in networks[name].named_parameters()]


def one_state(q, q_jt, q_jt_each=None):
    """What the loss takes, for one state of two agents with two actions that both take action 0."""
    batch = random_batch(n_actions=2)
    batch = vdn.Batch(*(x[:2, :1] for x in batch[:3]), *(x[:1, 1:2] for x in batch[3:]))
    available = torch.ones(2, 1, 2, 2, dtype=torch.bool)
    batch = batch._replace(actions=torch.zeros(1, 1, 2, dtype=int), avail_actions=available)
    q, q_jt = torch.tensor(q)[None, None].requires_grad_(), torch.tensor(q_jt)[None, None].requires_grad_()
    q_jt_each = None if q_jt_each is None else torch.tensor(q_jt_each)[None, None].requires_grad_()
    zero, v_jt = torch.zeros(1, 1), torch.zeros(1, 1, requires_grad=True)
    return q, q_jt, zero, q_jt_each, v_jt, zero, batch, 0.9, 1.0, 1.0


def test_base_l_nopt_is_zero_when_4b_holds_and_lifts_q_prime_when_not():
    for q_jt, d in ((2.5, 0.5), (3.0, 0.0), (4.0, -1.0)):  # Q' of the taken actions is 1 + 2
        given = one_state([[1.0, 5.0], [2.0, 7.0]], q_jt)
        nopt = qtran.qtran_loss(*given)[1]["losses/nopt"]
        assert nopt.item() == pytest.approx(min(d, 0) ** 2)
        nopt.backward()
        # d/dq of D^2 is 2 D at the taken actions: descending it raises Q' and V until the condition holds
        assert given[0].grad[0, 0].tolist() == [[2 * min(d, 0), 0], [2 * min(d, 0), 0]]
        assert given[4].grad.item() == 2 * min(d, 0)
        assert given[1].grad is None or not given[1].grad.any()


def test_alt_l_nopt_wants_the_least_d_of_each_agent_to_be_zero():
    q = [[1.0, 5.0], [2.0, 7.0]]  # Q'(., u_-1) = 3, 7 for agent 1 and Q'(., u_-2) = 3, 8 for agent 2
    for q_jt_each, d in (
        ([[3.0, 6.0], [2.0, 8.0]], (0, 0)),
        ([[2.0, 4.0], [2.0, 7.5]], (1, 0.5)),
        ([[4.0, 6.0], [3.0, 9.5]], (-1, -1.5)),
    ):
        given = one_state(q, 1.0, q_jt_each)
        nopt = qtran.qtran_loss(*given)[1]["losses/nopt"]
        assert nopt.item() == pytest.approx((d[0] ** 2 + d[1] ** 2) / 2)
        nopt.backward()
        assert given[4].grad.item() == pytest.approx(d[0] + d[1])  # towards zero from both sides
        assert all(x.grad is None or not x.grad.any() for x in (given[1], given[3]))
    assert given[0].grad[0, 0].tolist() == [
        [-1 - 1.5, 0],
        [-1, -1.5],
    ]  # agent 1's least D is at (0, 0), agent 2's at (0, 1)


@both_variants
def test_qtran_ignores_unavailable_actions(variant):
    """In ubar, in the target's ubar' and in the minimum of QTRAN-alt; an agent that has one action has no choice."""
    batch = random_batch(n_agents=3)
    batch = batch._replace(actions=torch.zeros_like(batch.actions))  # always available
    q, q_jt, q_jt_greedy, q_jt_each, *rest = random_values(variant, batch)
    masked = ~batch.avail_actions[:-1]

    def loss(q, q_jt_each):
        return qtran.qtran_loss(q, q_jt, q_jt_greedy, q_jt_each, *rest, batch, 0.9, 1, 1)[0]

    for value in (1e3, -1e3):
        assert loss(q.masked_fill(masked, value), q_jt_each) == loss(q, q_jt_each)
    if variant == "alt":
        assert loss(q, q_jt_each.masked_fill(masked, 1e3)) == loss(q, q_jt_each)


@both_variants
def test_qtran_what_lies_beyond_the_end_does_not_count(variant):
    batch = random_batch()
    q, *rest = random_values(variant, batch)
    avail = batch.avail_actions.clone()
    avail[3:, 0] = avail[3:, 1] = torch.arange(avail.shape[-1]) == 0
    filled = batch.filled.clone()
    filled[3:, 1] = False
    batch = batch._replace(filled=filled, terminated=batch.terminated | ~filled)
    loss, _ = qtran.qtran_loss(q, *rest, batch, 0.9, 1, 1)
    beyond = batch._replace(avail_actions=avail, reward=torch.where(batch.filled, batch.reward, 1e6))
    q.requires_grad_()
    same, info = qtran.qtran_loss(q, *rest, beyond, 0.9, 1, 1)
    assert same == loss and all(x.isfinite() for x in info.values())
    same.backward()
    assert q.grad.isfinite().all() and not q.grad[3:, 0].any()


@both_variants
def test_qtran_truncation_bootstraps_and_termination_does_not(variant):
    batch = random_batch()
    values = random_values(variant, batch)
    values[-1] = torch.full_like(values[-1], 10)
    nothing, everything = torch.zeros_like(batch.terminated), torch.ones_like(batch.terminated)
    for terminated, target in ((nothing, 9.0), (everything, 0.0)):
        given = batch._replace(terminated=terminated, reward=torch.zeros_like(batch.reward))
        assert qtran.qtran_loss(*values, given, 0.9, 1, 1)[1]["values/target"].item() == pytest.approx(target)


def test_counterfactual_network_does_not_see_an_agents_own_action_and_sees_everybody_elses():
    torch.manual_seed(0)
    network = qtran.JointNetwork(hidden_dim=16, n_actions=4, joint_dim=8)
    encoded, actions = torch.randn(5, 3, 3, 8), torch.randint(4, (5, 3, 3))
    q_jt = network.counterfactual(encoded, actions)
    assert q_jt.shape == (5, 3, 3, 4)
    for j in range(3):
        other = actions.clone()
        other[2, 1, j] = (other[2, 1, j] + 1) % 4
        changed = ~torch.isclose(network.counterfactual(encoded, other), q_jt, rtol=0, atol=1e-6)
        expected = torch.zeros_like(changed)
        expected[2, 1] = True
        expected[2, 1, j] = False
        assert torch.equal(changed, expected)


@pytest.mark.parametrize("name", ["joint", "counterfactual", "value"])
def test_joint_networks_use_every_agent_and_mix_neither_times_nor_episodes(name):
    torch.manual_seed(0)
    joint, value = qtran.JointNetwork(16, 4, 8), qtran.ValueNetwork(16, 8)
    network = {
        "joint": lambda features, actions: joint(joint.encoder(features), actions),
        "counterfactual": lambda features, actions: joint.counterfactual(joint.encoder(features), actions),
        "value": value,
    }[name]
    features, actions = torch.randn(5, 3, 3, 16), torch.randint(4, (5, 3, 3))
    inputs = () if name == "value" else (actions,)
    before = network(features, *inputs)
    for j in range(3):
        other = features.clone()
        other[2, 1, j] += 1
        changed = network(other, *inputs) != before
        assert changed[2, 1].all()
        changed[2, 1] = False
        assert not changed.any()
    if name == "joint":  # a sum over agents: who is who comes from the features alone
        torch.testing.assert_close(network(features.flip(2), actions.flip(2)), before)


@both_variants
@both_agents
def test_qtran_is_aligned_in_time(variant, recurrent):
    """The last observation of a window is for the target alone; the first reaches it only through a GRU's memory."""
    args = qtran_args(variant, recurrent=recurrent)
    networks, targets = qtran_networks(args)
    batch = random_batch(script=qtran)
    batch = qtran.Batch(*(x[:2] for x in batch[:3]), *(x[:1] for x in batch[3:]))  # T = 1

    def values(row):
        obs = batch.obs.clone()
        obs[row] += 1
        info = qtran.compute_loss(networks, targets, batch._replace(obs=obs), args)[1]
        return {name: info[f"values/{name}"].item() for name in ("q_jt", "v_jt", "q_prime", "abs_d_greedy", "target")}

    before, first, last = values([]), values(0), values(1)
    assert {name for name in before if before[name] != last[name]} == {"target"}
    changed = {name for name in before if before[name] != first[name]}
    assert changed == {"q_jt", "v_jt", "q_prime", "abs_d_greedy"} | ({"target"} if recurrent else set())


@both_variants
def test_agreement_is_the_share_found_by_trying_every_joint_action(variant):
    args = qtran_args(variant)
    networks, targets = qtran_networks(args)
    batch = random_batch(script=qtran, T=6, B=20)
    info = qtran.compute_loss(networks, targets, batch, args, diagnose=True)[1]
    assert "values/agreement" not in qtran.compute_loss(networks, targets, batch, args)[1]
    q, features = networks["agent"](batch.obs)
    encoded = networks["joint"].encoder(features)
    agree = []
    for t, b in batch.filled.nonzero().tolist():
        can = [[k for k in range(4) if batch.avail_actions[t, b, i, k]] for i in range(2)]
        value = {}
        for u in product(*can):
            q_jt = networks["joint"](encoded[t, b][None, None], torch.tensor([[u]]))[0, 0]
            value[u] = q_jt.item()
        own = tuple(max(can[i], key=lambda k: q[t, b, i, k].item()) for i in range(2))
        agree.append(max(value, key=value.get) == own)
    assert 0 < sum(agree) < len(agree)
    assert info["values/agreement"].item() == pytest.approx(np.mean(agree))


def test_agreement_is_left_out_where_there_are_too_many_joint_actions():
    env = SimpleNamespace(obs_dim=0, n_actions=4, n_agents=7, state_dim=7)
    args = qtran_args("base")
    torch.manual_seed(0)
    networks = qtran.make_networks(env, args)
    batch = random_batch(n_agents=7)
    batch = batch._replace(obs=torch.rand(*batch.obs.shape[:3], 11))
    assert "values/agreement" not in qtran.compute_loss(networks, networks, batch, args, diagnose=True)[1]


# --- agents ---------------------------------------------------------------------------------------------------------


def agent_and_obs(script, recurrent, T=6, B=3):
    torch.manual_seed(0)
    env = SimpleNamespace(obs_dim=5, n_actions=4, n_agents=2)
    return script.Agent(env, 16, recurrent), torch.rand(T, B, 2, 5 + 4 + 2)


@each_script
@both_agents
def test_no_leak_across_time_episodes_or_agents(script, recurrent):
    agent, obs = agent_and_obs(script, recurrent)
    q, features = agent(obs)
    assert q.shape == (6, 3, 2, 4) and features.shape == (6, 3, 2, 16)
    other = obs.clone()
    other[2, 1, 0] += 1
    for before, after in zip((q, features), agent(other)):
        changed = (before != after).any(-1)
        expected = torch.zeros_like(changed)
        expected[2:, 1, 0] = True  # this agent of this episode, from then on ...
        if not recurrent:
            expected[3:] = False  # ... or at this step only
        assert torch.equal(changed, expected)


@each_script
@both_agents
def test_step_by_step_equals_the_whole_sequence(script, recurrent):
    agent, obs = agent_and_obs(script, recurrent)
    q, _ = agent(obs)
    hidden, steps = None, []
    for t in range(len(obs)):
        step, hidden = agent(obs[t : t + 1], hidden)
        steps.append(step)
    torch.testing.assert_close(torch.cat(steps), q)


@pytest.mark.parametrize("script", [iql, vdn, qmix], ids=lambda script: script.__name__)
@both_agents
def test_loss_of_a_batch_is_aligned_in_time(script, recurrent):
    """Online values at t, target values at t + 1; a recurrent target network has seen the first observation, too."""
    env = SimpleNamespace(obs_dim=0, n_actions=4, n_agents=2, state_dim=7)
    args = SimpleNamespace(**ARGS, recurrent=recurrent)
    torch.manual_seed(0)
    networks, targets = script.make_networks(env, args), script.make_networks(env, args)
    batch = random_batch(script=script)
    batch = batch._replace(terminated=torch.zeros_like(batch.terminated), filled=torch.ones_like(batch.filled))
    loss, _ = script.compute_loss(networks, targets, batch, args)
    q, target_q = networks["agent"](batch.obs)[0][:-1], targets["agent"](batch.obs)[0][1:]
    mixers = (networks["mixer"], targets["mixer"]) if script is qmix else ()
    assert loss.item() == pytest.approx(literal_loss(script.__name__, q, target_q, batch, 0.9, *mixers), rel=1e-5)

    def target_of(first_obs):
        """The target of the window's first step, everything but its first observation being the same."""
        one = script.Batch(*(x[:2] for x in batch[:3]), *(x[:1] for x in batch[3:]))
        obs = one.obs.clone()
        obs[0] = first_obs
        return script.compute_loss(networks, targets, one._replace(obs=obs), args)[1]["values/target"].item()

    assert (target_of(0.0) != target_of(1.0)) == recurrent


# --- exploration ----------------------------------------------------------------------------------------------------


@each_script
def test_epsilon_is_drawn_per_agent_and_uniform_over_the_available_actions(script):
    rng = np.random.default_rng(0)
    q = np.zeros((40_000, 2, 5))
    q[..., 4] = 1
    avail = np.ones((40_000, 2, 5), bool)
    avail[:, 0, 1] = False
    actions = script.epsilon_greedy(q, avail, 0.5, rng)
    explored = actions != 4
    a, b = 0.5 * 3 / 4, 0.5 * 4 / 5  # exploring may also pick the greedy action
    assert explored.mean(axis=0) == pytest.approx([a, b], abs=0.01)
    assert explored.all(axis=1).mean() == pytest.approx(a * b, abs=0.01)  # one coin for the team would give about 0.3
    share = [np.bincount(actions[explored[:, i], i], minlength=4)[:4] / explored[:, i].sum() for i in (0, 1)]
    assert share[0] == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.01)
    assert share[1] == pytest.approx([1 / 4] * 4, abs=0.01)


@each_script
def test_greedy_choice_takes_the_best_available_action(script):
    q = np.array([[[3.0, 2.0, 1.0], [-3.0, -2.0, -1.0]]])
    avail = np.array([[[False, True, True], [True, False, False]]])
    assert script.epsilon_greedy(q, avail, 0.0, np.random.default_rng(0)).tolist() == [[1, 0]]


# --- rollout and replay ---------------------------------------------------------------------------------------------


@each_script
@both_agents
@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_rollout_of_ragged_masked_episodes(script, recurrent, epsilon):
    env = Ragged(6, seed=0)
    episodes = script.rollout(env, script.Agent(env, 8, recurrent), epsilon, np.random.default_rng(0), CPU)
    length = np.array([1, 2, 3, 4, 4, 4])
    step = np.arange(4)[:, None]
    assert env.forbidden_taken == 0
    np.testing.assert_array_equal(episodes.filled, step < length)
    np.testing.assert_array_equal(episodes.reward, step < length)
    np.testing.assert_array_equal(episodes.terminated, (step >= length - 1) & (np.arange(6) < 4))
    assert episodes.obs.shape == (5, 6, 2, 1 + 4 + 2) and episodes.obs.dtype == np.float32
    np.testing.assert_array_equal(episodes.obs[..., 0], np.broadcast_to(np.arange(5)[:, None, None], (5, 6, 2)))
    assert not episodes.obs[0, ..., 1:5].any()  # there is no last action yet
    np.testing.assert_array_equal(episodes.obs[1:, ..., 1:5], np.eye(4)[episodes.actions])
    np.testing.assert_array_equal(episodes.obs[..., 5:], np.broadcast_to(np.eye(2), (5, 6, 2, 2)))
    np.testing.assert_array_equal(episodes.avail_actions[0, ..., 0], False)


@each_script
def test_rollout_stops_when_all_have_ended_and_pads(script):
    env = Ragged(2, seed=0)
    episodes = script.rollout(env, script.Agent(env, 8, False), 1.0, np.random.default_rng(0), CPU)
    assert env.t == 2
    assert len(episodes.obs) == 5 and len(episodes.reward) == 4
    assert episodes.filled.sum(axis=0).tolist() == [1, 2] and episodes.terminated[1:].all()
    assert episodes.avail_actions.any(axis=-1).all()  # this environment has none left then: losses would not be finite


@each_script
def test_time_limit_is_no_termination(script):
    agent = {}
    for name in ("predator_prey", "matrix_game", "two_step_game"):
        env = envs.make(name, 3, 0)
        agent = script.Agent(env, 8, False)
        last = script.rollout(env, agent, 1.0, np.random.default_rng(0), CPU).terminated[-1]
        assert last.all() == (name != "predator_prey") and last.any() == last.all()


def numbered_episodes(script, first, n=2, limit=6, length=6):
    """Episodes in which every entry says which episode and step it is of: 100 * episode + step."""
    number = 100 * (first + np.arange(n)) + np.arange(limit + 1)[:, None]
    filled = np.broadcast_to(np.arange(limit)[:, None] < length, (limit, n))
    obs = np.broadcast_to(number[..., None, None], (limit + 1, n, 2, 3)).astype(np.float32)
    avail = np.ones((limit + 1, n, 2, 4), bool)
    actions = np.broadcast_to(number[:-1, :, None], (limit, n, 2))
    return script.Batch(obs, obs[:, :, 0], avail, actions, number[:-1].astype(np.float32), ~filled, filled)


@each_script
def test_replay_gives_consecutive_steps_of_one_episode_and_forgets_the_oldest(script):
    replay, rng = script.Replay(capacity=4), np.random.default_rng(0)
    for first in (0, 2, 4):
        replay.add(numbered_episodes(script, first))
    batch = replay.sample(2000, 3, rng, CPU)
    assert batch.obs.shape == (4, 2000, 2, 3) and batch.actions.shape == (3, 2000, 2)
    episode, start = batch.reward[0].long() // 100, batch.reward[0].long() % 100
    assert set(episode.tolist()) == {2, 3, 4, 5} and set(start.tolist()) == {0, 1, 2, 3}
    pairs = torch.bincount((episode - 2) * 4 + start)
    assert ((pairs - 125) ** 2 / 125).sum() < 37.7  # uniform: chi-square, 15 degrees of freedom, 99.9 %
    number = 100 * episode + start + torch.arange(4)[:, None]
    assert torch.equal(batch.reward, number[:-1].float())
    assert torch.equal(batch.actions, number[:-1, :, None].expand(3, 2000, 2))
    assert torch.equal(batch.state, number[..., None].expand(4, 2000, 3).float())
    assert torch.equal(batch.obs, number[..., None, None].expand(4, 2000, 2, 3).float())


@each_script
def test_replay_gives_whole_episodes_and_marks_the_rest_of_short_ones(script):
    replay, rng = script.Replay(capacity=4), np.random.default_rng(0)
    replay.add(numbered_episodes(script, 0))
    replay.add(numbered_episodes(script, 2, length=2))
    batch = replay.sample(100, 6, rng, CPU)
    assert (batch.reward[0] % 100 == 0).all()
    short = batch.reward[0] >= 200
    assert short.any() and (batch.filled.sum(0) == torch.where(short, 2, 6)).all()
    assert (replay.sample(100, 1, rng, CPU).filled).all()  # windows that fit lie inside the episode


@each_script
@pytest.mark.parametrize("name", ["predator_prey", "gaussian_squeeze"])
def test_replay_gives_back_what_was_played(script, name):
    env = envs.make(name, 1, 0)
    episode = script.rollout(env, script.Agent(env, 8, False), 1.0, np.random.default_rng(0), CPU)
    replay = script.Replay(capacity=1)
    replay.add(episode)
    batch = replay.sample(1, env.episode_limit, np.random.default_rng(0), CPU)
    for played, sampled in zip(episode, batch):
        np.testing.assert_array_equal(played, sampled)


@each_script
def test_two_million_steps_of_four_predators_and_two_prey_take_less_than_two_gib(script):
    env = envs.make("predator_prey", 1, 0, n_predators=4, n_prey=2, grid_size=7)
    replay = script.Replay(capacity=20_000)
    replay.add(script.rollout(env, script.Agent(env, 8, False), 1.0, np.random.default_rng(0), CPU))
    assert sum(x.nbytes for x in replay.fields) < 2 * 2**30
