# Which part of QTRAN works, and single questions beside it.
# A line: command  # game algorithm, number of seeds; the runner adds --seed 1, --seed 2, ...

# Predator-prey, 2 predators, 1 prey, P = 0.5, GRU agents (--compile is slower with them)
python vdn.py --env predator_prey --env-args penalty 0.5 --recurrent  # predator_prey_2v1_0.5_recurrent vdn, 3 seeds

# Predator-prey, 2 predators, 1 prey, P = 0.5, 5x5 view
python qtran.py --variant alt --env predator_prey --env-args penalty 0.5 view 2 --compile  # predator_prey_2v1_0.5_5x5_view qtran-alt, 3 seeds

# Predator-prey, 2 predators, 1 prey, P = 1.5
python qtran.py --variant base --td-target joint --value-net --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile        # predator_prey_2v1_1.5 qtran-base-joint, 3 seeds
python qtran.py --variant base --td-target joint --no-value-net --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile     # predator_prey_2v1_1.5 qtran-base-joint-no-value, 3 seeds
python qtran.py --variant base --td-target factored --value-net --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile     # predator_prey_2v1_1.5 qtran-base-factored, 3 seeds
python qtran.py --variant base --td-target factored --no-value-net --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile  # predator_prey_2v1_1.5 qtran-base-factored-no-value, 3 seeds
python qtran.py --variant alt --td-target joint --value-net --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile         # predator_prey_2v1_1.5 qtran-alt-joint, 3 seeds
python qtran.py --variant alt --td-target joint --no-value-net --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile      # predator_prey_2v1_1.5 qtran-alt-joint-no-value, 3 seeds
python vdn.py --double-q --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile                                            # predator_prey_2v1_1.5 vdn-double-q, 1 seed
python qmix.py --double-q --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile                                           # predator_prey_2v1_1.5 qmix-double-q, 1 seed
python qtran.py --variant alt --double-q --env predator_prey --env-args penalty 1.5 --total-timesteps 2_000_000 --compile                            # predator_prey_2v1_1.5 qtran-alt-double-q, 1 seed

# Predator-prey, 2 predators, 1 prey, P = 0.5
python vdn.py --double-q --env predator_prey --env-args penalty 0.5 --compile                  # predator_prey_2v1_0.5 vdn-double-q, 1 seed
python qmix.py --double-q --env predator_prey --env-args penalty 0.5 --compile                 # predator_prey_2v1_0.5 qmix-double-q, 1 seed
python qtran.py --variant alt --double-q --env predator_prey --env-args penalty 0.5 --compile  # predator_prey_2v1_0.5 qtran-alt-double-q, 1 seed

# Predator-prey, 2 predators, 1 prey, P = 1.5, 1 million steps
python qtran.py --variant alt --env predator_prey --env-args penalty 1.5 --compile                                                  # predator_prey_2v1_1.5_short qtran-alt, 3 seeds
python qtran.py --residual --td-target factored --no-value-net --variant alt --env predator_prey --env-args penalty 1.5 --compile   # predator_prey_2v1_1.5_short qtran-alt-residual, 3 seeds
python qtran.py --residual --td-target factored --value-net --variant alt --env predator_prey --env-args penalty 1.5 --compile      # predator_prey_2v1_1.5_short qtran-alt-residual-value, 3 seeds
python qtran.py --residual --td-target joint --no-value-net --variant alt --env predator_prey --env-args penalty 1.5 --compile      # predator_prey_2v1_1.5_short qtran-alt-residual-joint, 1 seed
python qtran.py --residual --td-target factored --no-value-net --variant base --env predator_prey --env-args penalty 1.5 --compile  # predator_prey_2v1_1.5_short qtran-base-residual, 1 seed

# Predator-prey, 2 predators, 1 prey, fast schedule: smaller batches, newer targets, fewer steps
python qtran.py --residual --td-target factored --no-value-net --variant alt --batch-size 64 --target-network-frequency 200 --env predator_prey --env-args penalty 0.5 --total-timesteps 600_000 --exploration-fraction 0.5 --compile   # predator_prey_2v1_0.5_fast qtran-alt-residual, 3 seeds
python qtran.py --residual --td-target factored --no-value-net --variant alt --batch-size 64 --target-network-frequency 200 --env predator_prey --env-args penalty 1.5 --exploration-fraction 0.65 --compile                            # predator_prey_2v1_1.5_fast qtran-alt-residual, 3 seeds

# Predator-prey, 4 predators, 2 prey, P = 1.5, entire grid in view
python vdn.py --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 --total-timesteps 2_000_000 --compile                  # predator_prey_4v2_1.5_whole_grid vdn, 1 seed
python qmix.py --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 --total-timesteps 2_000_000 --compile                 # predator_prey_4v2_1.5_whole_grid qmix, 1 seed
python qtran.py --variant alt --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 --total-timesteps 2_000_000 --compile  # predator_prey_4v2_1.5_whole_grid qtran-alt, 1 seed
