"""The parts of the scripts, imported from the scripts: losses, networks, exploration, rollout, replay.

What the scripts share, word for word (test_repo.py sees to that), is tested with vdn alone.
"""

import math
import shutil
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

import envs
import iql
import qmix
import qtran
import vdn

CPU = torch.device("cpu")
SCRIPTS = {"iql": iql, "vdn": vdn, "qmix": qmix, "qtran-base": qtran, "qtran-alt": qtran}
ENV = SimpleNamespace(obs_dim=3, n_actions=4, n_agents=3, state_dim=7)  # of random_batch
JOINT_ACTIONS = torch.tensor([*product(range(4), repeat=3)])  # [64, n_agents]
each_algorithm = pytest.mark.parametrize("algo", SCRIPTS)
FORMS_OF_QTRAN = [
    (algo, dict(td_target=td_target, value_net=value_net, residual=residual))
    for algo in ("qtran-base", "qtran-alt")
    for td_target in ("joint", "factored")
    for value_net in (False, True)
    for residual in (False, True)
]
both_variants = pytest.mark.parametrize("variant", ["base", "alt"])
both_agents = pytest.mark.parametrize("recurrent", [False, True], ids=["feed-forward", "recurrent"])


def make(algo, **options):
    """Networks with weights so large that greedy actions differ from state to state, and compute_loss with them."""
    script = SCRIPTS[algo]
    if script is qtran:
        options |= dict(variant=algo.split("-")[1], joint_dim=8, lambda_opt=0.7, lambda_nopt=1.3)
    args = script.Args(hidden_dim=16, **options)
    torch.manual_seed(0)
    networks, target_networks = script.make_networks(ENV, args), script.make_networks(ENV, args)
    for parameter in [*networks.parameters(), *target_networks.parameters()]:
        parameter.data.normal_(0, 0.7 if parameter.ndim > 1 else 0)

    def compute_loss(batch, networks=networks, target_networks=target_networks):
        return script.compute_loss(networks, target_networks, batch, args)

    return SimpleNamespace(args=args, networks=networks, target_networks=target_networks, compute_loss=compute_loss)


def random_batch(T=5, B=3, seed=0, recurrent=False):
    """The first episode terminates at step 2 and is padded from there, the second terminates at the last step."""
    g = torch.Generator().manual_seed(seed)
    avail = torch.rand(T + 1, B, 3, 4, generator=g) < 0.6
    avail[..., 0] = True
    mask = torch.ones(T, B, dtype=torch.bool)
    mask[3:, 0] = False
    terminated = ~mask
    terminated[2, 0] = terminated[-1, 1] = True
    return vdn.Batch(
        inputs=torch.rand(T + 1, B, 3, 3 + 3 + 4 * recurrent, generator=g) - 0.5,
        state=torch.rand(T + 1, B, 7, generator=g),
        avail_actions=avail,
        actions=torch.where(avail[:-1], torch.rand(T, B, 3, 4, generator=g), -1).argmax(-1),
        reward=torch.randn(T, B, generator=g),
        terminated=terminated,
        mask=mask,
    )


# --- losses ---------------------------------------------------------------------------------------------------------


def values_of_joint_actions(networks, batch, residual):
    """Q', Q_tot or Q_jt [64, T+1, B] of all JOINT_ACTIONS, and V_jt [T+1, B], asked for one joint action at a time."""
    q_i, features = networks["agent"](batch.inputs)
    q_each, q_team = [], []
    for joint_action in JOINT_ACTIONS:
        actions = joint_action.expand(batch.inputs.shape[:3])
        q_each.append(q_i.gather(-1, actions[..., None]).squeeze(-1))
        if "mixer" in networks:
            q_team.append(networks["mixer"](q_each[-1], batch.state))
        elif "joint" in networks:
            q_team.append(networks["joint"](features, actions))
            if residual:
                q_team[-1] = q_team[-1] + q_each[-1].sum(-1)
                q_team[-1] = q_team[-1] + (networks["value"](features) if "value" in networks else 0)
        else:
            q_team.append(q_each[-1].sum(-1))
    v_jt = networks["value"](features) if "value" in networks else torch.zeros_like(q_team[0])
    return torch.stack(q_each).sum(-1), torch.stack(q_team), v_jt


@both_agents
@pytest.mark.parametrize("double_q", [False, True])
@pytest.mark.parametrize(
    "algo, options", [("vdn", {}), ("qmix", {}), ("qmix", dict(normalise_mixing=True)), *FORMS_OF_QTRAN]
)
def test_loss_equals_the_definitions_over_all_joint_actions(algo, options, double_q, recurrent):
    """Maxima and minima over joint actions, where the scripts take them agent by agent; recurrent targets see all."""
    given, batch = make(algo, recurrent=recurrent, double_q=double_q, **options), random_batch(recurrent=recurrent)
    loss, metrics = given.compute_loss(batch)

    available = batch.avail_actions.expand(64, -1, -1, -1, -1)
    available = available.gather(-1, JOINT_ACTIONS[:, None, None, :, None].expand(-1, 6, 3, -1, -1)).all(-1).all(-1)
    online, target = (
        values_of_joint_actions(networks, batch, options.get("residual"))
        for networks in (given.networks, given.target_networks)
    )
    next_prime, next_team, next_v = (x[..., 1:, :] for x in target)
    chooser = online[0][:, 1:] if double_q else next_prime
    ubar = chooser.masked_fill(~available[:, 1:], -torch.inf).argmax(0, keepdim=True)
    if options.get("td_target") == "factored":
        next_value = next_prime.gather(0, ubar)[0] + next_v
    elif "qtran" in algo or double_q:
        next_value = next_team.gather(0, ubar)[0]
    else:
        next_value = next_team.masked_fill(~available[:, 1:], -torch.inf).amax(0)
    y = batch.reward + given.args.gamma * torch.where(batch.terminated, 0, next_value)

    q_prime, q_team, v_jt = (x[..., :-1, :] for x in online)
    same = JOINT_ACTIONS[:, None, None] == batch.actions  # [64, T, B, n_agents]
    taken = same.all(-1).float().argmax(0, keepdim=True)
    expected = {"losses/td": (q_team.gather(0, taken)[0] - y) ** 2, "values/target": y}
    if "qtran" in algo:
        d = q_prime - q_team + v_jt
        ubar = q_prime.masked_fill(~available[:, :-1], -torch.inf).argmax(0, keepdim=True)
        d_greedy, d_taken = d.gather(0, ubar)[0], d.gather(0, taken)[0]
        expected |= {"losses/opt": d_greedy**2, "losses/nopt": torch.where(d_taken < 0, d_taken, 0) ** 2}
        if algo == "qtran-alt":
            ours = [(same | (torch.arange(3) == i)).all(-1) & available[:, :-1] for i in range(3)]  # u_-i as taken
            expected["losses/nopt"] = sum(d.masked_fill(~one, torch.inf).amin(0) ** 2 for one in ours) / 3
        expected |= {"values/q_jt": q_team.gather(0, taken)[0], "values/q_prime": q_prime.gather(0, taken)[0]}
        expected |= {"values/q_taken": q_prime.gather(0, taken)[0] / 3, "values/v_jt": v_jt}
        expected |= {"values/abs_d_greedy": d_greedy.abs(), "values/d_negative": (d_taken < 0).float()}
    else:
        expected |= {"values/q_tot": q_team.gather(0, taken)[0], "values/q_taken": q_prime.gather(0, taken)[0] / 3}
    assert metrics.keys() == expected.keys()
    for name, values in expected.items():
        assert metrics[name].item() == pytest.approx(values[batch.mask].mean().item(), rel=1e-4), name
    weights = {"losses/td": 1, "losses/opt": 0.7, "losses/nopt": 1.3}
    assert loss.item() == pytest.approx(sum(w * metrics[name].item() for name, w in weights.items() if name in metrics))


@both_agents
@pytest.mark.parametrize("double_q", [False, True])
def test_iql_loss_is_the_mean_of_what_vdn_has_for_each_agent_alone(double_q, recurrent):
    given, batch = make("iql", recurrent=recurrent, double_q=double_q), random_batch(recurrent=recurrent)
    loss, metrics = given.compute_loss(batch)
    alone = []
    for i in range(3):
        own = {name: getattr(batch, name)[:, :, i : i + 1] for name in ("inputs", "avail_actions", "actions")}
        alone.append(vdn.compute_loss(given.networks, given.target_networks, batch._replace(**own), given.args)[1])
    assert loss == metrics["losses/td"]
    for name, value in metrics.items():
        assert value.item() == pytest.approx(np.mean([x[name].item() for x in alone]), rel=1e-5), name


@each_algorithm
def test_truncation_bootstraps_and_termination_does_not(algo):
    batch = random_batch()
    batch = batch._replace(reward=torch.ones(5, 3), mask=torch.ones(5, 3, dtype=torch.bool))

    def target(terminated, gamma):
        given = make(algo, gamma=gamma)
        same = batch._replace(terminated=torch.full((5, 3), terminated))
        return given.compute_loss(same)[1]["values/target"].item()

    assert target(True, 0.9) == pytest.approx(1)
    assert (target(False, 0.9) - 1) / 0.9 == pytest.approx((target(False, 0.5) - 1) / 0.5) != 0


@each_algorithm
def test_unavailable_actions_are_neither_best_nor_worst(algo):
    given, batch = make(algo), random_batch()
    loss, _ = given.compute_loss(batch)

    def tempted(networks, avail_actions, value):
        def agent(inputs):
            q_i, features = networks["agent"](inputs)
            return q_i.masked_fill(~avail_actions, value), features

        return {**networks, "agent": agent}

    for value in (1e6, -1e6):
        networks = tempted(given.networks, batch.avail_actions[:-1], value)
        target_networks = tempted(given.target_networks, batch.avail_actions[1:], value)
        assert given.compute_loss(batch, networks, target_networks)[0] == loss
    nothing = torch.zeros_like(batch.avail_actions[1:])
    assert given.compute_loss(batch, target_networks=tempted(given.target_networks, nothing, 1.0))[0] != loss


@each_algorithm
@both_agents
def test_what_lies_beyond_the_end_does_not_count(algo, recurrent):
    """Neither padding nor the observation after a true end, in the loss as in its gradients, which stay finite."""
    given, batch = make(algo, recurrent=recurrent), random_batch(recurrent=recurrent)
    other = random_batch(seed=1, recurrent=recurrent)
    beyond = {name: getattr(batch, name).clone() for name in ("inputs", "state", "avail_actions", "actions", "reward")}
    for name, x in beyond.items():
        x[3:, 0] = getattr(other, name)[3:, 0]  # the first episode is padded from step 3 on
    beyond["reward"][3:, 0] = 1e6
    results = []
    for changed in (batch, batch._replace(**beyond)):
        changed.inputs.requires_grad_()
        given.networks.zero_grad()
        loss, metrics = given.compute_loss(changed)
        loss.backward()
        assert changed.inputs.grad.isfinite().all() and not changed.inputs.grad[3:, 0].any()
        results.append([loss, *metrics.values(), *(parameter.grad for parameter in given.networks.parameters())])
    for one, same in zip(*results):
        torch.testing.assert_close(one, same)


@each_algorithm
@both_agents
def test_every_online_parameter_is_trained_and_no_target(algo, recurrent):
    given = make(algo, recurrent=recurrent)
    given.compute_loss(random_batch(T=8, B=20, recurrent=recurrent))[0].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in given.networks.parameters())
    assert all(parameter.grad is None for parameter in given.target_networks.parameters())


@each_algorithm
@both_agents
def test_loss_is_aligned_in_time(algo, recurrent):
    """The last row of a window is for the target alone; the first reaches it only through a GRU's memory."""
    given = make(algo, recurrent=recurrent)
    batch = random_batch(recurrent=recurrent)
    batch = vdn.Batch(*(x[:2] for x in batch[:3]), *(x[:1] for x in batch[3:]))  # T = 1

    def changed_by(field, row):
        other = getattr(batch, field).clone()
        other[row] += 1
        before, after = given.compute_loss(batch)[1], given.compute_loss(batch._replace(**{field: other}))[1]
        return {name for name in before if before[name] != after[name]} & values

    values = {"values/q_taken", "values/q_tot", "values/q_jt", "values/q_prime", "values/v_jt", "values/abs_d_greedy"}
    values = values & set(given.compute_loss(batch)[1]) | {"values/target"}
    assert changed_by("inputs", 1) == {"values/target"}
    assert changed_by("inputs", 0) == (values if recurrent else values - {"values/target"})
    assert changed_by("state", 0) == ({"values/q_tot"} if algo == "qmix" else set())
    assert changed_by("state", 1) == ({"values/target"} if algo == "qmix" else set())


# --- QMIX -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", [False, True])
def test_qmix_is_monotonic_for_any_weights_states_and_values(normalise):
    for seed in range(20):
        torch.manual_seed(seed)
        mixer = qmix.Mixer(ENV, 16, normalise)
        for parameter in mixer.parameters():
            parameter.data.normal_(0, 2)
        q_i = (5 * torch.randn(10, 20, 3)).requires_grad_()
        mixer(q_i, 3 * torch.randn(10, 20, 7)).sum().backward()
        assert (q_i.grad >= 0).all() and (q_i.grad > 0).any()


def test_what_an_agent_adds_in_qmix_grows_with_what_the_other_does():
    """ELU is convex: at one state f(hi, hi) - f(hi, lo) >= f(lo, hi) - f(lo, lo), so 0, 7, 7, 8 cannot be expressed."""
    for seed in range(20):
        torch.manual_seed(seed)
        mixer, state = qmix.Mixer(ENV, 16, normalise=False), torch.randn(10, 20, 7)
        for parameter in mixer.parameters():
            parameter.data.normal_(0, 2)
        low, (one, other) = 5 * torch.randn(10, 20, 3), 5 * torch.rand(2, 10, 20, 3) * torch.eye(3)[:2, None, None]
        hi_hi, hi_lo, lo_hi, lo_lo = (mixer(low + x, state).double() for x in (one + other, one, other, 0 * one))
        assert (hi_hi - hi_lo >= lo_hi - lo_lo - 1e-5 * hi_hi.abs()).all() and (hi_hi - hi_lo > lo_hi - lo_lo + 1).any()


def constant_mixer(w1, b1, w2, b2):
    """A mixer whose weights and biases are these in every state, with a hidden unit for each number in b1."""
    mixer = qmix.Mixer(SimpleNamespace(state_dim=7, n_agents=len(w1) // len(b1)), len(b1), False)
    for layer, values in ((mixer.hyper_w1, w1), (mixer.hyper_b1, b1), (mixer.hyper_w2, w2), (mixer.hyper_b2[2], [b2])):
        layer.weight.data.zero_()
        layer.bias.data = torch.tensor(values)
    return mixer


def test_qmix_by_hand():
    """2 |-3| + 1 |1| - 6 = 1 is left as it is, 2 |1| + 1 |-1| - 4 = -1 becomes 1 / e - 1."""
    mixer = constant_mixer(w1=[-3.0, 1.0, 1.0, -1.0], b1=[-6.0, -4.0], w2=[2.0, -5.0], b2=-0.5)
    q_tot = mixer(torch.tensor([[[2.0, 1.0]]]), torch.rand(1, 1, 7))
    assert q_tot.item() == pytest.approx(2 * 1 + 5 * (math.exp(-1) - 1) - 0.5)


def test_normalised_mixing_has_a_mean_slope_of_one_whatever_the_size_of_the_weights():
    torch.manual_seed(0)
    mixer, state = qmix.Mixer(ENV, 16, normalise=True), torch.randn(5, 4, 7)
    q_i = torch.full((5, 4, 3), 100.0, requires_grad=True)  # where ELU is linear
    q_tot = mixer(q_i, state)
    q_tot.sum().backward()
    torch.testing.assert_close(q_i.grad.mean(-1), torch.ones(5, 4))
    assert q_i.grad.std() > 0.1  # not that of VDN
    for parameter in mixer.hyper_w2.parameters():
        parameter.data *= 7
    torch.testing.assert_close(mixer(q_i, state), q_tot)


def test_qmix_first_bias_moves_the_kink():
    def slope(b1):
        q_i = torch.tensor([[[-1.0, -1.0]]], requires_grad=True)
        constant_mixer(w1=[0.5, 0.5], b1=[b1], w2=[0.5], b2=0.0)(q_i, torch.zeros(1, 1, 7)).backward()
        return q_i.grad[0, 0, 0].item()

    assert slope(b1=2.0) == pytest.approx(0.25)
    assert slope(b1=0.0) == pytest.approx(0.25 * math.exp(-1))


def test_qmix_state_enters_by_all_four_hypernetworks():
    torch.manual_seed(0)
    mixer, q_i, (one, other) = qmix.Mixer(ENV, 8, False), torch.randn(5, 4, 3), torch.randn(2, 5, 4, 7)
    layers = [mixer.hyper_w1, mixer.hyper_b1, mixer.hyper_w2, mixer.hyper_b2[0]]
    weights = [layer.weight.data.clone() for layer in layers]
    for kept in (None, *range(4)):
        for k, layer in enumerate(layers):
            layer.weight.data = weights[k] if k == kept else torch.zeros_like(weights[k])
        assert (mixer(q_i, one) != mixer(q_i, other)).any() == (kept is not None)


def test_qmix_weights_do_not_grow_with_a_large_state():
    torch.manual_seed(0)
    mixer, q_i, state = qmix.Mixer(ENV, 8, False), torch.randn(5, 4, 3), torch.rand(5, 4, 7)
    largest = state.amax(-1, keepdim=True)
    torch.testing.assert_close(mixer(q_i, 100 * state), mixer(q_i, state / largest))
    assert (mixer(q_i, state) != mixer(q_i, state / largest)).all()  # a state within 1 is left as it is, as are all ...
    for name in ("matrix_game", "two_step_game", "gaussian_squeeze", "predator_prey"):  # ... of our own games
        assert np.abs(envs.make(name, 9, 0).reset()[1].astype(float)).max() <= 1


def test_qmix_stays_moderate_where_states_are_ten_times_as_large():
    """With the state as it is, the gradient's norm is over 1,000 here and Q_tot about 50, of rewards of about 1."""
    torch.manual_seed(0)
    args = qmix.Args(hidden_dim=16, gamma=0.99)
    networks, target_networks = qmix.make_networks(ENV, args), qmix.make_networks(ENV, args)
    update, batches = qmix.make_update(networks, target_networks, args), [random_batch(B=16, seed=k) for k in range(20)]
    for k in range(1000):
        if k % 50 == 0:
            target_networks.load_state_dict(networks.state_dict())
        batch = batches[k % 20]
        metrics = update(batch._replace(state=10 * batch.state))
        assert metrics["losses/grad_norm"] < 50 and abs(metrics["values/q_tot"]) < 5, k


# --- QTRAN ----------------------------------------------------------------------------------------------------------


class Table:
    """In the place of JointNetwork: Q_jt of two agents is this table, whatever the state."""

    def __init__(self, q_jt):
        self.q_jt = q_jt

    def __call__(self, features, actions):
        return self.q_jt[actions[..., 0], actions[..., 1]]

    @torch.no_grad()
    def counterfactual(self, features, actions):
        return torch.stack([self.q_jt.t()[actions[..., 1]], self.q_jt[actions[..., 0]]], dim=-2)


def losses_of_tables(variant, q_i, q_jt, v_jt, actions, reward):
    """The metrics of one terminal step for each of the joint actions [B, 2], with tables as networks."""
    B, n_actions = len(actions), q_i.shape[-1]
    networks = {
        "agent": lambda inputs: (q_i.expand(len(inputs), B, 2, n_actions), inputs),
        "joint": Table(q_jt),
        "value": lambda features: v_jt.expand(len(features), B),
    }
    inputs, available = torch.zeros(2, B, 2, 1), torch.ones(2, B, 2, n_actions, dtype=torch.bool)
    true = torch.ones(1, B, dtype=torch.bool)
    batch = qtran.Batch(inputs, inputs[:, :, 0], available, torch.tensor(actions)[None], reward[None], true, true)
    return qtran.compute_loss(networks, networks, batch, qtran.Args(variant=variant))[1]


@both_variants
def test_an_exact_solution_of_the_matrix_game_has_no_qtran_loss(variant):
    """Q_1 = Q_2 = (4, 0, 0) gives D = 0 at (0, 0), D >= 0 everywhere and D = 0 at each best answer."""
    payoff = torch.from_numpy(envs.MatrixGame.payoff)
    actions = [*product(range(3), repeat=2)]

    def losses(q, v_jt=0.0):
        q_i = torch.tensor([q, q])
        metrics = losses_of_tables(variant, q_i, payoff, torch.tensor(v_jt), actions, payoff.flatten())
        return [metrics[f"losses/{name}"].item() for name in ("td", "opt", "nopt")]

    assert losses([4.0, 0.0, 0.0]) == [0, 0, 0]
    assert losses([5.0, 1.0, 1.0], v_jt=-2.0) == [0, 0, 0]  # only Q' + V_jt matters
    assert losses([4.0, -1.0, -1.0])[:2] == [0, 0] and losses([4.0, -1.0, -1.0])[2] > 0  # Q' = -2 where Q_jt = 0
    assert losses([0.0, 4.0, 4.0])[1] == 64  # the greedy action is another: Q' = 8 where Q_jt = 0
    assert (losses([4.0, 1.0, 1.0])[2] > 0) == (variant == "alt")  # D = 2 at best: too high, which (8) allows


def gradients(variant, q_jt, nopt):
    """Of L_nopt by Q_i and V_jt, for Q_1 = (1, 5), Q_2 = (2, 7) and u = (0, 0), where Q' = 3; L_nopt must be `nopt`."""
    q_i = torch.tensor([[1.0, 5.0], [2.0, 7.0]], requires_grad=True)
    v_jt, q_jt = torch.zeros((), requires_grad=True), torch.tensor(q_jt, requires_grad=True)
    loss = losses_of_tables(variant, q_i, q_jt, v_jt, [(0, 0)], torch.zeros(1))["losses/nopt"]
    assert loss.item() == pytest.approx(nopt)
    loss.backward()
    assert q_jt.grad is None or not q_jt.grad.any()
    return q_i.grad.tolist(), v_jt.grad.item()


@pytest.mark.parametrize("q_jt, d", [(2.5, 0.5), (3.0, 0.0), (4.0, -1.0)])
def test_base_l_nopt_is_zero_where_d_is_not_negative_and_lifts_q_prime_elsewhere(q_jt, d):
    slope = 2 * min(d, 0)  # descending it raises Q' and V_jt until D = 0
    everywhere = [[q_jt, 0.0], [0.0, 0.0]]
    assert gradients("base", everywhere, nopt=min(d, 0) ** 2) == ([[slope, 0], [slope, 0]], slope)


@pytest.mark.parametrize(
    "q_jt, d, q_i_gradient",  # Q' is 3 at u, 7 where agent 1 takes action 1, 8 where agent 2 does
    [
        ([[3.0, 7.0], [6.0, 1e6]], (0, 0), [[0, 0], [0, 0]]),
        ([[2.0, 6.0], [6.5, 1e6]], (0.5, 1), [[1, 0.5], [1.5, 0]]),  # agent 1's least D is where it takes action 1
        ([[4.0, 7.0], [9.0, 1e6]], (-2, -1), [[-1, -2], [-3, 0]]),
    ],
)
def test_alt_l_nopt_draws_the_least_d_of_each_agent_to_zero(q_jt, d, q_i_gradient):
    assert gradients("alt", q_jt, nopt=(d[0] ** 2 + d[1] ** 2) / 2) == (q_i_gradient, d[0] + d[1])


@both_variants
@pytest.mark.parametrize("td_target", ["joint", "factored"])
@pytest.mark.parametrize("residual", [False, True])
@both_agents
def test_qtran_each_term_trains_exactly_what_it_should(variant, td_target, residual, recurrent):
    """L_td the joint network and the features, with --residual all; the others Q_i and V_jt, not the joint network."""
    given = make(f"qtran-{variant}", td_target=td_target, residual=residual, recurrent=recurrent)
    names = {name for name, _ in given.networks.named_parameters()}
    agent, joint, value = ({name for name in names if name.startswith(start)} for start in ("agent", "joint", "value"))
    features = {name for name in agent if "head" not in name}
    expected = {"losses/td": names if residual else features | joint}
    expected |= {"losses/opt": agent | value, "losses/nopt": agent | value}
    expected |= {"values/v_jt": features | value}  # which is made of the agents' features, too
    for term, trained in expected.items():
        given.networks.zero_grad()
        given.compute_loss(random_batch(T=8, B=20, recurrent=recurrent))[1][term].backward()
        got = {name for name, x in given.networks.named_parameters() if x.grad is not None and x.grad.abs().sum() > 0}
        assert got == trained, term


@both_variants
@pytest.mark.parametrize("value_net", [False, True])
def test_with_the_residual_q_jt_starts_as_q_prime_plus_v_jt(variant, value_net):
    """So D is 0 at first, for every joint action, and L_td is that of VDN if V_jt is 0."""
    args, batch = qtran.Args(variant=variant, residual=True, td_target="factored", value_net=value_net), random_batch()
    networks = qtran.make_networks(ENV, args)
    q_prime, q_jt, v_jt = values_of_joint_actions(networks, batch, residual=True)
    torch.testing.assert_close(q_jt, q_prime + v_jt)
    assert q_prime.std() > 0.01 and (v_jt.std() > 0.001) == value_net
    _, metrics = qtran.compute_loss(networks, networks, batch, args)
    assert metrics["losses/opt"] < 1e-12 and metrics["losses/nopt"] < 1e-12 and metrics["losses/td"] > 0.01
    if not value_net:
        td, _ = vdn.compute_loss(networks, networks, batch, vdn.Args())
        assert metrics["losses/td"].item() == pytest.approx(td.item())


def joint_networks():
    torch.manual_seed(0)
    return (
        qtran.JointNetwork(16, 4, 8),
        qtran.ValueNetwork(16, 8),
        torch.randn(5, 3, 3, 16),
        torch.randint(4, (5, 3, 3)),
    )


def test_counterfactual_is_the_joint_network_at_every_action_of_an_agent():
    """So an agent's own action does not count, and that of everybody else does."""
    joint, _, features, actions = joint_networks()
    q_jt = joint.counterfactual(features, actions)
    for i, u_i in product(range(3), range(4)):
        other = actions.clone()
        other[..., i] = u_i
        torch.testing.assert_close(q_jt[..., i, u_i], joint(features, other).detach())
        changed = (joint.counterfactual(features, other) - q_jt).abs().amax(-1) > 1e-6  # [T, B, n_agents]
        assert torch.equal(changed, (other != actions).any(-1, keepdim=True) & (torch.arange(3) != i))


@pytest.mark.parametrize("name", ["joint", "value"])
def test_joint_networks_sum_over_agents_and_mix_neither_times_nor_episodes(name):
    joint, value, features, actions = joint_networks()

    def network(features, actions):
        return joint(features, actions) if name == "joint" else value(features)

    before = network(features, actions)
    for j in range(3):
        other = features.clone()
        other[2, 1, j] += 1
        changed = network(other, actions) != before
        assert changed[2, 1] and changed.sum() == 1
    joint.head = value.head = torch.nn.Identity()
    alone = [network(features[:, :, [j]], actions[:, :, [j]]) for j in range(3)]
    torch.testing.assert_close(network(features, actions), sum(alone))


# --- agents ---------------------------------------------------------------------------------------------------------


def agent_and_inputs(recurrent):
    torch.manual_seed(0)
    return vdn.Agent(ENV, 16, recurrent), torch.rand(6, 3, 3, 3 + 3 + 4 * recurrent)


@both_agents
def test_no_leak_across_time_episodes_or_agents(recurrent):
    agent, inputs = agent_and_inputs(recurrent)
    q_i, features = agent(inputs)
    assert q_i.shape == (6, 3, 3, 4) and features.shape == (6, 3, 3, 16)
    other = inputs.clone()
    other[2, 1, 0] += 1
    for before, after in zip((q_i, features), agent(other)):
        changed = (before != after).any(-1)
        expected = torch.zeros_like(changed)
        expected[2:, 1, 0] = True  # this agent of this episode, from then on ...
        if not recurrent:
            expected[3:] = False  # ... or at this step only
        assert torch.equal(changed, expected)


@both_agents
def test_piece_by_piece_equals_the_whole_sequence(recurrent):
    agent, inputs = agent_and_inputs(recurrent)
    hidden, pieces = None, []
    for x in inputs.split([1, 1, 3, 1]):
        q_i, hidden = agent(x, hidden)
        pieces.append(q_i)
    torch.testing.assert_close(torch.cat(pieces), agent(inputs)[0])


# --- exploration ----------------------------------------------------------------------------------------------------


def test_epsilon_is_drawn_per_agent_and_uniform_over_the_available_actions():
    q_i = np.zeros((40_000, 2, 5))
    q_i[..., 4] = 1
    avail = np.ones((40_000, 2, 5), bool)
    avail[:, 0, 1] = False
    actions = vdn.epsilon_greedy(q_i, avail, 0.5, np.random.default_rng(0))
    explored = actions != 4
    a, b = 0.5 * 3 / 4, 0.5 * 4 / 5  # exploring may also take the greedy action
    assert explored.mean(axis=0) == pytest.approx([a, b], abs=0.01)
    assert explored.all(axis=1).mean() == pytest.approx(a * b, abs=0.01)  # one coin for the team would give about 0.3
    share = [np.bincount(actions[explored[:, i], i], minlength=4)[:4] / explored[:, i].sum() for i in (0, 1)]
    assert share[0] == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.01)
    assert share[1] == pytest.approx([1 / 4] * 4, abs=0.01)


def test_greedy_choice_takes_the_best_available_action():
    q_i = np.array([[[3.0, 2.0, 1.0], [-3.0, -2.0, -1.0]]])
    avail = np.array([[[False, True, True], [True, False, False]]])
    assert vdn.epsilon_greedy(q_i, avail, 0.0, np.random.default_rng(0)).tolist() == [[1, 0]]


# --- rollout --------------------------------------------------------------------------------------------------------


class Ragged:
    """A user's own environment: copies end at different times, actions are masked, one buffer is used again and again.

    Copy e terminates at step e + 1, if the limit of 4 does not come first. Action `t` is not available at step t. After
    the end nothing is available, the reward is garbage and `terminated` is false again, which the caller has to ignore.
    Masks and ends are integers.
    """

    n_agents, n_actions, obs_dim, state_dim, episode_limit = 2, 4, 1, 1, 4

    def __init__(self, num_envs, seed, pay=1):
        self.num_envs, self.pay, self.forbidden_taken = num_envs, pay, 0
        self.obs, self.state = np.zeros((num_envs, 2, 1), np.float32), np.zeros((num_envs, 1), np.float32)

    def _now(self, t):
        self.t = t
        self.obs[:] = t
        self.state[:] = 10 * t
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
        reward = np.where(alive, np.float32(self.pay), np.float32(np.nan))
        obs, state = self._now(self.t + 1)
        return obs, state, reward, (np.arange(self.num_envs) == self.t - 1).astype(int)


def play(env, recurrent=False, epsilon=1.0, scale=None):
    torch.manual_seed(0)
    agent = vdn.Agent(env, 8, recurrent)
    for parameter in agent.parameters() if scale else ():
        parameter.data.normal_(0, scale)
    return agent, vdn.rollout(env, agent, epsilon, np.random.default_rng(0), CPU)


@both_agents
@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_rollout_of_ragged_masked_episodes(recurrent, epsilon):
    env = Ragged(6, seed=0)
    _, episodes = play(env, recurrent, epsilon)
    length = np.array([1, 2, 3, 4, 4, 4])
    step = np.arange(4)[:, None]
    assert env.forbidden_taken == 0
    np.testing.assert_array_equal(episodes.mask, step < length)
    np.testing.assert_array_equal(episodes.reward, step < length)
    np.testing.assert_array_equal(episodes.terminated, (step >= length - 1) & (np.arange(6) < 4))
    assert episodes.inputs.shape == (5, 6, 2, 1 + 2 + 4 * recurrent) and episodes.inputs.dtype == np.float32
    t = np.arange(5)[:, None]
    on = ~((t >= length) & (np.arange(6) < 4))  # [T+1, B]: what a copy returns after its true end is ignored ...
    assert not episodes.inputs[~on].any() and not episodes.state[~on].any()  # ... and zero here
    np.testing.assert_array_equal(episodes.inputs[..., 0], (t * on)[..., None] * np.ones(2))
    np.testing.assert_array_equal(episodes.state[..., 0], 10 * t * on)
    np.testing.assert_array_equal(episodes.inputs[on][..., 1:3], np.broadcast_to(np.eye(2), (on.sum(), 2, 2)))
    if recurrent:  # the action of the step before, none at first
        last_action = np.concatenate([np.zeros((1, 6, 2, 4)), np.eye(4)[episodes.actions]]) * on[..., None, None]
        np.testing.assert_array_equal(episodes.inputs[..., 3:], last_action)
    for t in range(4):
        in_play = episodes.avail_actions[t, t:]
        assert not in_play[..., t].any() and np.delete(in_play, t, axis=-1).all()


def test_rollout_is_as_long_as_the_longest_episode():
    env = Ragged(2, seed=0)
    _, episodes = play(env)
    assert env.t == 2
    assert len(episodes.inputs) == 3 and len(episodes.reward) == 2
    assert episodes.mask.sum(axis=0).tolist() == [1, 2] and episodes.terminated[1:].all()
    assert episodes.reward.sum(axis=0).tolist() == [1, 2]
    assert episodes.avail_actions.any(axis=-1).all()  # this environment has none left then: losses would not be finite


@pytest.mark.parametrize("name, terminates", [("predator_prey", False), ("matrix_game", True), ("two_step_game", True)])
def test_time_limit_is_no_termination(name, terminates):
    _, episodes = play(envs.make(name, 3, 0))
    assert (episodes.terminated[-1] == terminates).all() and not episodes.terminated[:-1].any()


def test_rollout_carries_the_memory_of_the_agents_from_step_to_step():
    agent, episodes = play(envs.make("predator_prey", 8, 0), recurrent=True, epsilon=0.0, scale=0.5)
    inputs = torch.from_numpy(episodes.inputs[:-1])
    np.testing.assert_array_equal(episodes.actions, agent(inputs)[0].argmax(-1))  # the whole sequence at once
    without = torch.cat([agent(x[None])[0] for x in inputs]).argmax(-1)
    assert (episodes.actions != without.numpy()).any()


# --- updates --------------------------------------------------------------------------------------------------------


COMPILED = [(algo, dict(double_q=True)) for algo in SCRIPTS]
COMPILED += [("iql", {}), ("vdn", {}), ("qmix", {}), ("qmix", dict(normalise_mixing=True))]
# Each takes seconds: of QTRAN's forms those of the paper, and the residual with the target that goes with it.
COMPILED += [form for form in FORMS_OF_QTRAN if form[1]["residual"] == (form[1]["td_target"] == "factored")]


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
@pytest.mark.parametrize("algo, options", COMPILED, ids=str)
def test_compiled_update_is_the_plain_one(algo, options):
    """Adam's first steps have the size of the learning rate whatever a gradient's, so its sign is what has to agree."""
    options |= dict(max_grad_norm=0.5, learning_rate=1e-4)  # gradients of 1 to 100, most of them clipped
    script, batches = SCRIPTS[algo], [random_batch(seed=seed) for seed in range(100)]
    results = []
    for compiled in (False, True):
        given = make(algo, compile=compiled, **options)
        update = script.make_update(given.networks, given.target_networks, given.args)
        metrics, weights = [], []
        for batch in batches:
            metrics.append(torch.stack([*update(batch).values()]))
            weights.append(parameters_to_vector(given.networks.parameters()).detach())
        results.append((torch.stack(metrics), torch.stack(weights), list(update(batches[0]))))
    (metrics, weights, names), (compiled_metrics, compiled_weights, compiled_names) = results
    assert names == compiled_names and names[-1] == "losses/grad_norm"
    assert (metrics[:, -1] > 0.5).float().mean() > 0.5 and (weights[-1] != weights[0]).float().mean() > 0.5
    torch.testing.assert_close(compiled_metrics[:20], metrics[:20], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(compiled_weights[:20], weights[:20], rtol=0, atol=2e-6)
    torch.testing.assert_close(compiled_metrics, metrics, rtol=1e-2, atol=1e-2)  # a unit or an argmax may have flipped
    torch.testing.assert_close(compiled_weights, weights, rtol=0, atol=1e-3)


# --- replay ---------------------------------------------------------------------------------------------------------


def numbered_episodes(first, lengths=(6, 6)):
    """Episodes in which every entry says which episode and step it is of: 100 * episode + step."""
    n, limit, length = len(lengths), max(lengths), np.array(lengths)
    number = 100 * (first + np.arange(n)) + np.minimum(np.arange(limit + 1)[:, None], length)
    mask = np.arange(limit)[:, None] < length
    inputs = np.broadcast_to(number[..., None, None], (limit + 1, n, 2, 3)).astype(np.float32)
    avail = np.ones((limit + 1, n, 2, 4), bool)
    actions = np.broadcast_to(number[:-1, :, None], (limit, n, 2))
    return vdn.Batch(inputs, inputs[:, :, 0], avail, actions, number[:-1].astype(np.float32), ~mask, mask)


def test_replay_gives_consecutive_steps_of_one_episode_and_forgets_the_oldest():
    replay_buffer = vdn.ReplayBuffer(4 * 7)
    for first in (0, 2, 4):
        replay_buffer.add(numbered_episodes(first))
    batch = replay_buffer.sample(2000, 3, np.random.default_rng(0), CPU)
    assert batch.inputs.shape == (4, 2000, 2, 3) and batch.actions.shape == (3, 2000, 2)
    episode, start = batch.reward[0].long() // 100, batch.reward[0].long() % 100
    assert set(episode.tolist()) == {2, 3, 4, 5} and set(start.tolist()) == {0, 1, 2, 3}
    pairs = torch.bincount((episode - 2) * 4 + start)
    assert ((pairs - 125) ** 2 / 125).sum() < 37.7  # uniform: chi-square, 15 degrees of freedom, 99.9 %
    number = 100 * episode + start + torch.arange(4)[:, None]
    assert torch.equal(batch.reward, number[:-1].float())
    assert torch.equal(batch.actions, number[:-1, :, None].expand(3, 2000, 2))
    assert torch.equal(batch.state, number[..., None].expand(4, 2000, 3).float())
    assert torch.equal(batch.inputs, number[..., None, None].expand(4, 2000, 2, 3).float())
    assert batch.mask.all() and not batch.terminated.any()


@pytest.mark.parametrize("n_rows", [20, 23, 40])
@pytest.mark.parametrize("longest", [1, 3, 6])
def test_replay_of_ragged_episodes_holds_the_latest_that_fit(n_rows, longest):
    replay_buffer, rng = vdn.ReplayBuffer(n_rows), np.random.default_rng(0)
    lengths = []
    for _ in range(60):
        lengths += (new := rng.integers(1, longest + 1, size=2).tolist())
        replay_buffer.add(numbered_episodes(len(lengths) - 2, new))
        rows = np.cumsum(np.array(lengths[::-1]) + 1)  # taken by the latest one, by the latest two, ..
        kept = range(len(lengths) - (rows <= n_rows).sum(), len(lengths))
        for window in (1, 3, 6):
            batch = replay_buffer.sample(500, window, rng, CPU)
            episode, start = batch.reward[0].long().numpy() // 100, batch.reward[0].long().numpy() % 100
            assert set(episode) == set(kept)
            length = np.array(lengths)[episode]
            T = min(window, length.max())  # no longer than the longest
            assert len(batch.reward) == T and len(batch.inputs) == T + 1
            assert (start <= np.maximum(length - T, 0)).all()
            t = start + np.arange(T + 1)[:, None]
            number = 100 * episode + np.minimum(t, length)
            np.testing.assert_array_equal(batch.mask, t[:-1] < length)
            np.testing.assert_array_equal(batch.inputs, np.broadcast_to(number[..., None, None], batch.inputs.shape))
            np.testing.assert_array_equal(batch.reward[batch.mask], number[:-1][t[:-1] < length])


def test_replay_does_not_draw_from_rows_that_are_empty():
    replay_buffer = vdn.ReplayBuffer(100)
    replay_buffer.add(numbered_episodes(1))
    assert (replay_buffer.sample(500, 6, np.random.default_rng(0), CPU).reward[0] >= 100).all()


@pytest.mark.parametrize("name", ["predator_prey", "gaussian_squeeze"])
def test_replay_gives_back_what_was_played(name):
    env = envs.make(name, 1, 0)
    _, episode = play(env)
    replay_buffer = vdn.ReplayBuffer(env.episode_limit + 1)
    replay_buffer.add(episode)
    batch = replay_buffer.sample(1, env.episode_limit, np.random.default_rng(0), CPU)
    for played, sampled in zip(episode, batch):
        np.testing.assert_array_equal(played, sampled)
        assert sampled.is_contiguous()


def test_two_million_steps_of_four_predators_and_two_prey_take_less_than_a_gib():
    env = envs.make("predator_prey", 1, 0, n_predators=4, n_prey=2, grid_size=7)
    replay_buffer = vdn.ReplayBuffer(2_020_000)
    replay_buffer.add(play(env)[1])
    assert replay_buffer.rows.nbytes < 2**30
