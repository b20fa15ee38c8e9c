# Beyond the papers: QTRAN with Q_jt as a residual, QMIX with normalised mixing weights.
# A line: command  # game algorithm, number of seeds; the runner adds --seed 1, --seed 2, ...

# Matrix game
python qtran.py --residual --td-target factored --no-value-net --variant alt --env matrix_game  # matrix_game qtran-alt-residual, 5 seeds
python qmix.py --normalise-mixing --env matrix_game                                             # matrix_game qmix-normalised, 5 seeds

# Two-step game
python qtran.py --residual --td-target factored --no-value-net --variant alt --env two_step_game  # two_step_game qtran-alt-residual, 5 seeds
python qmix.py --normalise-mixing --env two_step_game                                             # two_step_game qmix-normalised, 5 seeds

# Gaussian squeeze, K = 1
python qtran.py --residual --td-target factored --no-value-net --variant alt --env gaussian_squeeze --compile  # gaussian_squeeze_1 qtran-alt-residual, 3 seeds
python qmix.py --normalise-mixing --env gaussian_squeeze --compile                                             # gaussian_squeeze_1 qmix-normalised, 3 seeds

# Gaussian squeeze, K = 2
python qtran.py --residual --td-target factored --no-value-net --variant alt --env gaussian_squeeze --env-args n_domains 2 --compile  # gaussian_squeeze_2 qtran-alt-residual, 3 seeds
python qmix.py --normalise-mixing --env gaussian_squeeze --env-args n_domains 2 --compile                                             # gaussian_squeeze_2 qmix-normalised, 3 seeds

# Predator-prey, 2 predators, 1 prey, P = 0.5
python qtran.py --residual --td-target factored --no-value-net --variant alt --env predator_prey --env-args penalty 0.5 --compile  # predator_prey_2v1_0.5 qtran-alt-residual, 3 seeds
python qmix.py --normalise-mixing --env predator_prey --env-args penalty 0.5 --compile                                             # predator_prey_2v1_0.5 qmix-normalised, 3 seeds

# Predator-prey, 2 predators, 1 prey, P = 1.0
python qtran.py --residual --td-target factored --no-value-net --variant alt --env predator_prey --env-args penalty 1.0 --total-timesteps 2_000_000 --compile  # predator_prey_2v1_1.0 qtran-alt-residual, 3 seeds
python qmix.py --normalise-mixing --env predator_prey --env-args penalty 1.0 --total-timesteps 2_000_000 --compile                                             # predator_prey_2v1_1.0 qmix-normalised, 3 seeds

# Predator-prey, 2 predators, 1 prey, P = 1.5
python qtran.py --residual --td-target factored --no-value-net --variant alt --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile  # predator_prey_2v1_1.5 qtran-alt-residual, 3 seeds
python qmix.py --normalise-mixing --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile                                             # predator_prey_2v1_1.5 qmix-normalised, 3 seeds

# Predator-prey, 4 predators, 2 prey, P = 0.5
python qtran.py --residual --td-target factored --no-value-net --variant alt --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile  # predator_prey_4v2_0.5 qtran-alt-residual, 1 seed
python qmix.py --normalise-mixing --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile                                             # predator_prey_4v2_0.5 qmix-normalised, 1 seed

# Predator-prey, 4 predators, 2 prey, P = 1.5
python qtran.py --residual --td-target factored --no-value-net --variant alt --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile  # predator_prey_4v2_1.5 qtran-alt-residual, 1 seed
python qmix.py --normalise-mixing --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile                                             # predator_prey_4v2_1.5 qmix-normalised, 1 seed
