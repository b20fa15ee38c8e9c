# Every script in every game of the suite "paper": a few steps and updates, to see that everything works.
# A line: command  # game algorithm, number of seeds; the runner adds --seed 1, --seed 2, ...

# Matrix game
python iql.py --env matrix_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # matrix_game iql, 1 seed
python vdn.py --env matrix_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # matrix_game vdn, 1 seed
python qmix.py --env matrix_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                  # matrix_game qmix, 1 seed
python qtran.py --variant base --env matrix_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000  # matrix_game qtran-base, 1 seed
python qtran.py --variant alt --env matrix_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000   # matrix_game qtran-alt, 1 seed

# Two-step game
python iql.py --env two_step_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # two_step_game iql, 1 seed
python vdn.py --env two_step_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # two_step_game vdn, 1 seed
python qmix.py --env two_step_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                  # two_step_game qmix, 1 seed
python qtran.py --variant base --env two_step_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000  # two_step_game qtran-base, 1 seed
python qtran.py --variant alt --env two_step_game --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000   # two_step_game qtran-alt, 1 seed

# Gaussian squeeze, K = 1
python iql.py --env gaussian_squeeze --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # gaussian_squeeze_1 iql, 1 seed
python vdn.py --env gaussian_squeeze --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # gaussian_squeeze_1 vdn, 1 seed
python qmix.py --env gaussian_squeeze --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                  # gaussian_squeeze_1 qmix, 1 seed
python qtran.py --variant base --env gaussian_squeeze --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000  # gaussian_squeeze_1 qtran-base, 1 seed
python qtran.py --variant alt --env gaussian_squeeze --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000   # gaussian_squeeze_1 qtran-alt, 1 seed

# Gaussian squeeze, K = 2
python iql.py --env gaussian_squeeze --env-args n_domains 2 --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # gaussian_squeeze_2 iql, 1 seed
python vdn.py --env gaussian_squeeze --env-args n_domains 2 --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # gaussian_squeeze_2 vdn, 1 seed
python qmix.py --env gaussian_squeeze --env-args n_domains 2 --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                  # gaussian_squeeze_2 qmix, 1 seed
python qtran.py --variant base --env gaussian_squeeze --env-args n_domains 2 --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000  # gaussian_squeeze_2 qtran-base, 1 seed
python qtran.py --variant alt --env gaussian_squeeze --env-args n_domains 2 --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000   # gaussian_squeeze_2 qtran-alt, 1 seed

# Predator-prey, 2 predators, 1 prey, P = 0.5
python iql.py --env predator_prey --env-args penalty 0.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_2v1_0.5 iql, 1 seed
python vdn.py --env predator_prey --env-args penalty 0.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_2v1_0.5 vdn, 1 seed
python qmix.py --env predator_prey --env-args penalty 0.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                  # predator_prey_2v1_0.5 qmix, 1 seed
python qtran.py --variant base --env predator_prey --env-args penalty 0.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000  # predator_prey_2v1_0.5 qtran-base, 1 seed
python qtran.py --variant alt --env predator_prey --env-args penalty 0.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000   # predator_prey_2v1_0.5 qtran-alt, 1 seed

# Predator-prey, 2 predators, 1 prey, P = 1.0
python iql.py --env predator_prey --env-args penalty 1.0 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_2v1_1.0 iql, 1 seed
python vdn.py --env predator_prey --env-args penalty 1.0 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_2v1_1.0 vdn, 1 seed
python qmix.py --env predator_prey --env-args penalty 1.0 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                  # predator_prey_2v1_1.0 qmix, 1 seed
python qtran.py --variant base --env predator_prey --env-args penalty 1.0 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000  # predator_prey_2v1_1.0 qtran-base, 1 seed
python qtran.py --variant alt --env predator_prey --env-args penalty 1.0 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000   # predator_prey_2v1_1.0 qtran-alt, 1 seed

# Predator-prey, 2 predators, 1 prey, P = 1.5
python iql.py --env predator_prey --env-args penalty 1.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_2v1_1.5 iql, 1 seed
python vdn.py --env predator_prey --env-args penalty 1.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_2v1_1.5 vdn, 1 seed
python qmix.py --env predator_prey --env-args penalty 1.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                  # predator_prey_2v1_1.5 qmix, 1 seed
python qtran.py --variant base --env predator_prey --env-args penalty 1.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000  # predator_prey_2v1_1.5 qtran-base, 1 seed
python qtran.py --variant alt --env predator_prey --env-args penalty 1.5 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000   # predator_prey_2v1_1.5 qtran-alt, 1 seed

# Predator-prey, 4 predators, 2 prey, P = 0.5
python iql.py --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_4v2_0.5 iql, 1 seed
python vdn.py --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_4v2_0.5 vdn, 1 seed
python qmix.py --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                  # predator_prey_4v2_0.5 qmix, 1 seed
python qtran.py --variant base --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000  # predator_prey_4v2_0.5 qtran-base, 1 seed
python qtran.py --variant alt --env predator_prey --env-args penalty 0.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000   # predator_prey_4v2_0.5 qtran-alt, 1 seed

# Predator-prey, 4 predators, 2 prey, P = 1.5
python iql.py --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_4v2_1.5 iql, 1 seed
python vdn.py --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                   # predator_prey_4v2_1.5 vdn, 1 seed
python qmix.py --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000                  # predator_prey_4v2_1.5 qmix, 1 seed
python qtran.py --variant base --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000  # predator_prey_4v2_1.5 qtran-base, 1 seed
python qtran.py --variant alt --env predator_prey --env-args penalty 1.5 n_predators 4 n_prey 2 grid_size 7 view 2 --compile --num-envs 4 --total-timesteps 800 --eval-interval 400 --train-frequency 40 --buffer-size 2000   # predator_prey_4v2_1.5 qtran-alt, 1 seed
