# Other people's environments.
# A line: command  # game algorithm, number of seeds; the runner adds --seed 1, --seed 2, ...

# mpe2 simple_spread_v3, 3 agents
python iql.py --env pettingzoo:mpe2.simple_spread_v3 --compile                                                               # simple_spread iql, 3 seeds
python vdn.py --env pettingzoo:mpe2.simple_spread_v3 --compile                                                               # simple_spread vdn, 3 seeds
python qmix.py --no-normalise-mixing --env pettingzoo:mpe2.simple_spread_v3 --compile                                        # simple_spread qmix, 3 seeds
python qmix.py --env pettingzoo:mpe2.simple_spread_v3 --compile                                                              # simple_spread qmix-normalised, 3 seeds
python qtran.py --no-residual --td-target joint --value-net --variant base --env pettingzoo:mpe2.simple_spread_v3 --compile  # simple_spread qtran-base, 3 seeds
python qtran.py --no-residual --td-target joint --value-net --variant alt --env pettingzoo:mpe2.simple_spread_v3 --compile   # simple_spread qtran-alt, 3 seeds
python qtran.py --variant alt --env pettingzoo:mpe2.simple_spread_v3 --compile                                               # simple_spread qtran-alt-residual, 3 seeds

# mpe2 simple_speaker_listener_v4
python iql.py --env pettingzoo:mpe2.simple_speaker_listener_v4 --compile                                                               # simple_speaker_listener iql, 3 seeds
python vdn.py --env pettingzoo:mpe2.simple_speaker_listener_v4 --compile                                                               # simple_speaker_listener vdn, 3 seeds
python qmix.py --no-normalise-mixing --env pettingzoo:mpe2.simple_speaker_listener_v4 --compile                                        # simple_speaker_listener qmix, 3 seeds
python qmix.py --env pettingzoo:mpe2.simple_speaker_listener_v4 --compile                                                              # simple_speaker_listener qmix-normalised, 3 seeds
python qtran.py --no-residual --td-target joint --value-net --variant base --env pettingzoo:mpe2.simple_speaker_listener_v4 --compile  # simple_speaker_listener qtran-base, 3 seeds
python qtran.py --no-residual --td-target joint --value-net --variant alt --env pettingzoo:mpe2.simple_speaker_listener_v4 --compile   # simple_speaker_listener qtran-alt, 3 seeds
python qtran.py --variant alt --env pettingzoo:mpe2.simple_speaker_listener_v4 --compile                                               # simple_speaker_listener qtran-alt-residual, 3 seeds

# Level-based foraging 8x8, 2 players, 2 food, cooperative
python iql.py --env gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3 --compile                                                               # foraging_8x8-2p-2f-coop iql, 3 seeds
python vdn.py --env gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3 --compile                                                               # foraging_8x8-2p-2f-coop vdn, 3 seeds
python qmix.py --no-normalise-mixing --env gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3 --compile                                        # foraging_8x8-2p-2f-coop qmix, 3 seeds
python qmix.py --env gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3 --compile                                                              # foraging_8x8-2p-2f-coop qmix-normalised, 3 seeds
python qtran.py --no-residual --td-target joint --value-net --variant base --env gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3 --compile  # foraging_8x8-2p-2f-coop qtran-base, 3 seeds
python qtran.py --no-residual --td-target joint --value-net --variant alt --env gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3 --compile   # foraging_8x8-2p-2f-coop qtran-alt, 3 seeds
python qtran.py --variant alt --env gymnasium:lbforaging:Foraging-8x8-2p-2f-coop-v3 --compile                                               # foraging_8x8-2p-2f-coop qtran-alt-residual, 3 seeds

# Level-based foraging 10x10, 3 players, 3 food
python iql.py --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --compile                                                               # foraging_10x10-3p-3f iql, 3 seeds
python vdn.py --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --compile                                                               # foraging_10x10-3p-3f vdn, 3 seeds
python qmix.py --no-normalise-mixing --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --compile                                        # foraging_10x10-3p-3f qmix, 3 seeds
python qmix.py --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --compile                                                              # foraging_10x10-3p-3f qmix-normalised, 3 seeds
python qtran.py --no-residual --td-target joint --value-net --variant base --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --compile  # foraging_10x10-3p-3f qtran-base, 3 seeds
python qtran.py --no-residual --td-target joint --value-net --variant alt --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --compile   # foraging_10x10-3p-3f qtran-alt, 3 seeds
python qtran.py --variant alt --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --compile                                               # foraging_10x10-3p-3f qtran-alt-residual, 3 seeds

# Level-based foraging 10x10, 3 players, 3 food, GRU agents (--compile is slower with them)
python iql.py --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --recurrent                  # foraging_10x10-3p-3f_recurrent iql, 1 seed
python vdn.py --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --recurrent                  # foraging_10x10-3p-3f_recurrent vdn, 1 seed
python qmix.py --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --recurrent                 # foraging_10x10-3p-3f_recurrent qmix-normalised, 1 seed
python qtran.py --variant alt --env gymnasium:lbforaging:Foraging-10x10-3p-3f-v3 --total-timesteps 2_000_000 --recurrent  # foraging_10x10-3p-3f_recurrent qtran-alt-residual, 1 seed
