# JaxMARL's SMAX; results/smax/README.md says how to install it.
# A line: command  # game algorithm, number of seeds; the runner adds --seed 1, --seed 2, ...

# SMAX 3m
python vdn.py --env docs.smax:SMAX --env-args map_name 3m --num-envs 16 --total-timesteps 500_000 --compile   # smax_3m vdn, 1 seed
python qmix.py --no-normalise-mixing --env docs.smax:SMAX --env-args map_name 3m --num-envs 16 --total-timesteps 500_000 --compile  # smax_3m qmix, 1 seed
