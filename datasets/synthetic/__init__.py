"""Synthetic worlds with known truth: recordings whose every cause can be looked up.

`motion`: people who move, a camera that sees their skeleton and inertial sensors anywhere on them. `imagery`: imagined
movement of the left or right hand, sources in a spherical head and 64 electrodes. Each has a `Study` (what is recorded),
`recordings(study)` and `truth(study, subject, ...)`.

>>> from harkd.datasets.synthetic import motion
>>> study = motion.Study(subjects=1, repetitions=1, activities=("walk",), places=("right_wrist",))
>>> [(name, signal.shape) for name, signal in motion.recordings(study)[0].signals.items()]
[('skeleton', (60, 80)), ('right_wrist_acc', (3, 160)), ('right_wrist_gyro', (3, 160))]
"""
