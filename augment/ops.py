"""All augmentations by name. What is not here does not exist for the text grammar, the command line and the tests."""

from harkd.augment.bands import BandPass, BandStop, LowPass
from harkd.augment.cap import ChannelsSymmetry, SensorsRotation
from harkd.augment.channel import ChannelDropout, ChannelGain, ChannelNoise, ChannelShuffle, SensorDropout
from harkd.augment.clock import ClockJitter, InterSensorShift, PacketLoss, SampleRateChange
from harkd.augment.cutmix import ChannelCutMix, CutMix, StepMix
from harkd.augment.drift import AddNoise, Drift
from harkd.augment.dropout import Dropout
from harkd.augment.eeg import AmplitudeScale, BandRotation, ChannelsReref, SegmentationReconstruction, SignFlip
from harkd.augment.erasing import AttentionErasing, Erasing
from harkd.augment.frequency import AmpPhase, FreqMask, FrequencyShift, FTSurrogate
from harkd.augment.hardware import AdcQuantize, BiasDrift, GainError, Saturation
from harkd.augment.jitter import Jitter, NoiseInjection, Scaling
from harkd.augment.joints import BoneLengthScale, JointMask, MirrorBody
from harkd.augment.learning import Adaptive, Differentiable, GrowWithConfidence, GrowWithLoss
from harkd.augment.mask import Cutout, MaskEncoding, Removal, SmoothTimeMask
from harkd.augment.mirror import AxisMirror, PositionSwap
from harkd.augment.mix_style import AmplitudeMix, FreqMix, SubjectMix
from harkd.augment.mixing import Mixup, PartialMixup
from harkd.augment.mounting import GravityReorient, Misalignment
from harkd.augment.pattern import DGW, RGW, Spawner, WeightedDBA
from harkd.augment.policy import AugMix, FilterByTeacher, Grow, RandAugment, TrivialAugment, UniformAugment
from harkd.augment.quantize import Quantize
from harkd.augment.resolution import Convolve, Pooling, Resize
from harkd.augment.rotate import Rotate, RotationFlip
from harkd.augment.segments import Permutation, RandomSampling, Reverse, WindowSlice, WindowWarp
from harkd.augment.skeleton import JointJitter, JointOffset, RotateVertical, Shear, Stretch
from harkd.augment.spectrogram import SpecAugment
from harkd.augment.speed import Crop, SpeedWarp
from harkd.augment.transform import Branching, OneOf, Transform
from harkd.augment.tsaug_bridge import TsaugBridge
from harkd.augment.warp import Cropping, MagnitudeWarp, Shifting, TimeWarp
from harkd.augment.wavelet import WaveletNoise

OPS: dict[str, type[Transform]] = {
    "adc_quantize": AdcQuantize,
    "add_noise": AddNoise,
    "amp_phase": AmpPhase,
    "amplitude_mix": AmplitudeMix,
    "amplitude_scale": AmplitudeScale,
    "attention_erasing": AttentionErasing,
    "axis_mirror": AxisMirror,
    "band_pass": BandPass,
    "band_rotation": BandRotation,
    "band_stop": BandStop,
    "bias_drift": BiasDrift,
    "bone_length_scale": BoneLengthScale,
    "channel_cutmix": ChannelCutMix,
    "channel_dropout": ChannelDropout,
    "channel_gain": ChannelGain,
    "channel_noise": ChannelNoise,
    "channel_shuffle": ChannelShuffle,
    "channels_reref": ChannelsReref,
    "channels_symmetry": ChannelsSymmetry,
    "clock_jitter": ClockJitter,
    "convolve": Convolve,
    "crop": Crop,
    "cropping": Cropping,
    "cutmix": CutMix,
    "cutout": Cutout,
    "dgw": DGW,
    "drift": Drift,
    "dropout": Dropout,
    "erasing": Erasing,
    "freq_mask": FreqMask,
    "freq_mix": FreqMix,
    "frequency_shift": FrequencyShift,
    "ft_surrogate": FTSurrogate,
    "gain_error": GainError,
    "gravity_reorient": GravityReorient,
    "inter_sensor_shift": InterSensorShift,
    "jitter": Jitter,
    "joint_jitter": JointJitter,
    "joint_mask": JointMask,
    "joint_offset": JointOffset,
    "low_pass": LowPass,
    "magnitude_warp": MagnitudeWarp,
    "mask_encoding": MaskEncoding,
    "mirror_body": MirrorBody,
    "misalignment": Misalignment,
    "mixup": Mixup,
    "noise_injection": NoiseInjection,
    "packet_loss": PacketLoss,
    "partial_mixup": PartialMixup,
    "permutation": Permutation,
    "pool": Pooling,
    "position_swap": PositionSwap,
    "quantize": Quantize,
    "random_sampling": RandomSampling,
    "removal": Removal,
    "resize": Resize,
    "reverse": Reverse,
    "rgw": RGW,
    "rotate": Rotate,
    "rotate_vertical": RotateVertical,
    "rotation_flip": RotationFlip,
    "sample_rate_change": SampleRateChange,
    "saturation": Saturation,
    "scaling": Scaling,
    "segmentation_reconstruction": SegmentationReconstruction,
    "sensor_dropout": SensorDropout,
    "sensors_rotation": SensorsRotation,
    "shear": Shear,
    "shifting": Shifting,
    "sign_flip": SignFlip,
    "smooth_time_mask": SmoothTimeMask,
    "spawner": Spawner,
    "spec_augment": SpecAugment,
    "speed_warp": SpeedWarp,
    "step_mix": StepMix,
    "stretch": Stretch,
    "subject_mix": SubjectMix,
    "time_warp": TimeWarp,
    "tsaug": TsaugBridge,
    "wavelet_noise": WaveletNoise,
    "wdba": WeightedDBA,
    "window_slice": WindowSlice,
    "window_warp": WindowWarp,
}

NODES: dict[str, type[Branching]] = {
    "adaptive": Adaptive,
    "aug_mix": AugMix,
    "differentiable": Differentiable,
    "filter_by_teacher": FilterByTeacher,
    "grow": Grow,
    "grow_with_confidence": GrowWithConfidence,
    "grow_with_loss": GrowWithLoss,
    "one_of": OneOf,
    "rand_augment": RandAugment,
    "trivial": TrivialAugment,
    "uniform_augment": UniformAugment,
}
"""Choices, policies and wrappers by name: what takes strategies as its arguments."""
