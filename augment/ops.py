"""All augmentations by name. What is not here does not exist for the text grammar, the command line and the tests."""

from harkd.augment.jitter import Jitter, NoiseInjection, Scaling
from harkd.augment.mask import Removal
from harkd.augment.mixing import Mixup
from harkd.augment.rotate import Rotate
from harkd.augment.transform import Transform
from harkd.augment.warp import MagnitudeWarp, Shifting, TimeWarp

OPS: dict[str, type[Transform]] = {
    "jitter": Jitter,
    "magnitude_warp": MagnitudeWarp,
    "mixup": Mixup,
    "noise_injection": NoiseInjection,
    "removal": Removal,
    "rotate": Rotate,
    "scaling": Scaling,
    "shifting": Shifting,
    "time_warp": TimeWarp,
}
