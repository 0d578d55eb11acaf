"""All augmentations by name. What is not here does not exist for the text grammar, the command line and the tests."""

from harkd.augment.jitter import Jitter, NoiseInjection, Scaling
from harkd.augment.mask import Removal
from harkd.augment.mixing import Mixup
from harkd.augment.rotate import Rotate
from harkd.augment.skeleton import JointJitter, JointOffset, RotateVertical, Stretch
from harkd.augment.transform import Transform
from harkd.augment.warp import Cropping, MagnitudeWarp, Shifting, TimeWarp

OPS: dict[str, type[Transform]] = {
    "cropping": Cropping,
    "jitter": Jitter,
    "joint_jitter": JointJitter,
    "joint_offset": JointOffset,
    "magnitude_warp": MagnitudeWarp,
    "mixup": Mixup,
    "noise_injection": NoiseInjection,
    "removal": Removal,
    "rotate": Rotate,
    "rotate_vertical": RotateVertical,
    "scaling": Scaling,
    "shifting": Shifting,
    "stretch": Stretch,
    "time_warp": TimeWarp,
}
