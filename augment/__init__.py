"""Augmentations of sensor windows: pure, batched, and the same for a window in any batch.

>>> from harkd.augment import parse, to_text
>>> to_text(parse("jeon_mix1 + rotate(15, p=0.5) | mixup(0.2)"))
'removal(0.5)+shifting(0.5)+rotate(15, p=0.5)|mixup(0.2)'
"""

from harkd.augment.arrays import ArrayAugment
from harkd.augment.augmenter import Augmenter, Batch, check_invariances
from harkd.augment.draws import Draws, Strength
from harkd.augment.learning import Evidence
from harkd.augment.ops import NODES, OPS
from harkd.augment.pool import Pool
from harkd.augment.spec import Judge, Spec
from harkd.augment.text import Strategy, parse, read_strategy, strategy_names, to_text
from harkd.augment.transform import Branching, Compose, Mixing, OneOf, Transform, leaves

__all__ = [
    "NODES",
    "OPS",
    "ArrayAugment",
    "Augmenter",
    "Batch",
    "Branching",
    "Compose",
    "Draws",
    "Evidence",
    "Judge",
    "Mixing",
    "OneOf",
    "Pool",
    "Spec",
    "Strategy",
    "Strength",
    "Transform",
    "check_invariances",
    "leaves",
    "parse",
    "read_strategy",
    "strategy_names",
    "to_text",
]
