# The games of the papers, with every algorithm.
# A line: command  # game algorithm, number of seeds; the runner adds --seed 1, --seed 2, ...

# Matrix game
python iql.py --env matrix_game                   # matrix_game iql, 5 seeds
python vdn.py --env matrix_game                   # matrix_game vdn, 5 seeds
python qmix.py --env matrix_game                  # matrix_game qmix, 5 seeds
python qtran.py --variant base --env matrix_game  # matrix_game qtran-base, 5 seeds
python qtran.py --variant alt --env matrix_game   # matrix_game qtran-alt, 5 seeds

# Two-step game
python iql.py --env two_step_game                   # two_step_game iql, 5 seeds
python vdn.py --env two_step_game                   # two_step_game vdn, 5 seeds
python qmix.py --env two_step_game                  # two_step_game qmix, 5 seeds
python qtran.py --variant base --env two_step_game  # two_step_game qtran-base, 5 seeds
python qtran.py --variant alt --env two_step_game   # two_step_game qtran-alt, 5 seeds

# Gaussian squeeze, K = 1
python iql.py --env gaussian_squeeze --compile                   # gaussian_squeeze_1 iql, 5 seeds
python vdn.py --env gaussian_squeeze --compile                   # gaussian_squeeze_1 vdn, 5 seeds
python qmix.py --env gaussian_squeeze --compile                  # gaussian_squeeze_1 qmix, 5 seeds
python qtran.py --variant base --env gaussian_squeeze --compile  # gaussian_squeeze_1 qtran-base, 5 seeds
python qtran.py --variant alt --env gaussian_squeeze --compile   # gaussian_squeeze_1 qtran-alt, 5 seeds

# Gaussian squeeze, K = 2
python iql.py --env gaussian_squeeze --env-args n_domains 2 --compile                   # gaussian_squeeze_2 iql, 5 seeds
python vdn.py --env gaussian_squeeze --env-args n_domains 2 --compile                   # gaussian_squeeze_2 vdn, 5 seeds
python qmix.py --env gaussian_squeeze --env-args n_domains 2 --compile                  # gaussian_squeeze_2 qmix, 5 seeds
python qtran.py --variant base --env gaussian_squeeze --env-args n_domains 2 --compile  # gaussian_squeeze_2 qtran-base, 5 seeds
python qtran.py --variant alt --env gaussian_squeeze --env-args n_domains 2 --compile   # gaussian_squeeze_2 qtran-alt, 5 seeds

# Predator-prey, 2 predators, 1 prey, P = 0.5
python iql.py --env predator_prey --env-args penalty 0.5 --compile                   # predator_prey_2v1_0.5 iql, 5 seeds
python vdn.py --env predator_prey --env-args penalty 0.5 --compile                   # predator_prey_2v1_0.5 vdn, 5 seeds
python qmix.py --env predator_prey --env-args penalty 0.5 --compile                  # predator_prey_2v1_0.5 qmix, 5 seeds
python qtran.py --variant base --env predator_prey --env-args penalty 0.5 --compile  # predator_prey_2v1_0.5 qtran-base, 5 seeds
python qtran.py --variant alt --env predator_prey --env-args penalty 0.5 --compile   # predator_prey_2v1_0.5 qtran-alt, 5 seeds

# Predator-prey, 2 predators, 1 prey, P = 1.0
python iql.py --env predator_prey --env-args penalty 1.0 --total-timesteps 2_000_000 --compile                   # predator_prey_2v1_1.0 iql, 5 seeds
python vdn.py --env predator_prey --env-args penalty 1.0 --total-timesteps 2_000_000 --compile                   # predator_prey_2v1_1.0 vdn, 5 seeds
python qmix.py --env predator_prey --env-args penalty 1.0 --total-timesteps 2_000_000 --compile                  # predator_prey_2v1_1.0 qmix, 5 seeds
python qtran.py --variant base --env predator_prey --env-args penalty 1.0 --total-timesteps 2_000_000 --compile  # predator_prey_2v1_1.0 qtran-base, 5 seeds
python qtran.py --variant alt --env predator_prey --env-args penalty 1.0 --total-timesteps 2_000_000 --compile   # predator_prey_2v1_1.0 qtran-alt, 5 seeds

# Predator-prey, 2 predators, 1 prey, P = 1.5
python iql.py --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile                   # predator_prey_2v1_1.5 iql, 5 seeds
python vdn.py --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile                   # predator_prey_2v1_1.5 vdn, 5 seeds
python qmix.py --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile                  # predator_prey_2v1_1.5 qmix, 5 seeds
python qtran.py --variant base --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile  # predator_prey_2v1_1.5 qtran-base, 5 seeds
python qtran.py --variant alt --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile   # predator_prey_2v1_1.5 qtran-alt, 5 seeds

# Predator-prey, 4 predators, 2 prey, P = 0.5
python iql.py --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile                   # predator_prey_4v2_0.5 iql, 3 seeds
python vdn.py --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile                   # predator_prey_4v2_0.5 vdn, 3 seeds
python qmix.py --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile                  # predator_prey_4v2_0.5 qmix, 3 seeds
python qtran.py --variant base --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile  # predator_prey_4v2_0.5 qtran-base, 3 seeds
python qtran.py --variant alt --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile   # predator_prey_4v2_0.5 qtran-alt, 3 seeds

# Predator-prey, 4 predators, 2 prey, P = 1.5
python iql.py --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile                   # predator_prey_4v2_1.5 iql, 3 seeds
python vdn.py --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile                   # predator_prey_4v2_1.5 vdn, 3 seeds
python qmix.py --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile                  # predator_prey_4v2_1.5 qmix, 3 seeds
python qtran.py --variant base --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile  # predator_prey_4v2_1.5 qtran-base, 3 seeds
python qtran.py --variant alt --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --total-timesteps 4_000_000 --compile   # predator_prey_4v2_1.5 qtran-alt, 3 seeds
