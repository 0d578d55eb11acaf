"""Words that people use in file names and headers, and what they mean."""

from __future__ import annotations

import re

ROLES: dict[str, str] = {
    **dict.fromkeys(("subject", "subj", "sub", "user", "participant", "person", "volunteer", "patient", "proband"), "subject"),
    **dict.fromkeys(("pid", "sid", "uid", "vp", "wearer", "name"), "subject"),
    **dict.fromkeys(("session", "sess", "ses", "day", "visit", "week"), "session"),
    **dict.fromkeys(("trial", "rep", "repetition", "take", "rec", "recording", "exp", "experiment", "seq"), "recording"),
    **dict.fromkeys(("sequence", "file", "filename", "run", "try", "attempt"), "recording"),
    **dict.fromkeys(("label", "activity", "act", "action", "class", "gesture", "task", "exercise", "target"), "label"),
    **dict.fromkeys(("movement", "motion", "category", "annotation", "state"), "label"),
    **dict.fromkeys(("device", "dev", "sensor", "sens", "imu", "node", "shimmer", "stream", "position", "location"), "device"),
    **dict.fromkeys(("placement", "bodypart", "source"), "device"),
}  # fmt: skip
"""What a word before a number in a file name, or in a column's name, says about it."""
LETTERS = {"s": "subject", "p": "subject", "u": "subject", "t": "recording", "r": "recording", "a": "label", "d": "session"}
"""The same for single letters, which are weaker signs."""

KINDS: dict[str, str] = {
    **dict.fromkeys(("acc", "accel", "accelerometer", "acceleration", "accl", "useracceleration", "a"), "acc"),
    **dict.fromkeys(("gyro", "gyr", "gyroscope", "angular", "omega", "rotationrate", "rotation", "w", "g"), "gyro"),
    **dict.fromkeys(("mag", "magn", "magnetometer", "magnetic", "magneticfield", "compass", "m"), "mag"),
    **dict.fromkeys(("quat", "quaternion", "orientation", "euler", "q"), "orientation"),
    **dict.fromkeys(("eeg",), "eeg"),
    **dict.fromkeys(("ecg", "ekg"), "ecg"),
    **dict.fromkeys(("emg",), "emg"),
    **dict.fromkeys(("eog",), "eog"),
    **dict.fromkeys(("ppg", "bvp"), "ppg"),
    **dict.fromkeys(("eda", "gsr"), "eda"),
    **dict.fromkeys(("hr", "heartrate", "heart"), "heart_rate"),
    **dict.fromkeys(("temp", "temperature"), "temperature"),
    **dict.fromkeys(("baro", "barometer", "pressure"), "pressure"),
    **dict.fromkeys(("skeleton", "skel", "kinect", "joints"), "skeleton"),
}
SHORT = {"a", "w", "g", "m", "q"}
"""Kinds of one letter: they count before an axis (ax, wx), not elsewhere."""
PLACES = frozenset(
    [
        "left",
        "right",
        "wrist",
        "ankle",
        "chest",
        "waist",
        "hip",
        "thigh",
        "shin",
        "foot",
        "head",
        "hand",
        "arm",
        "forearm",
        "upperarm",
        "leg",
        "back",
        "pocket",
        "belt",
        "knee",
        "torso",
        "ear",
        "finger",
        "shank",
        "pelvis",
        "sternum",
        "phone",
        "smartphone",
        "watch",
        "smartwatch",
        "glasses",
        "earbud",
        "ring",
        "inertial",
        "imu",
        "la",
        "ra",
        "ll",
        "rl",
    ]
)
GRAVITY_FREE = ("linear", "user", "body", "lin")

ACTIVITIES = re.compile(
    r"walk|run|jog|sit|stand|l[iy]e|lay|stair|climb|jump|hop|cycl|bik|rest|idle|still|fall|wave|clap|drink|eat|brush|comb|pour|phone"
    r"|squat|lunge|swim|push|pull|swipe|knock|throw|bend|type|typing|write|writing|clean|vacuum|iron|drive|driving|fist|curl|punch"
    r"|up|down|null|other|transition|sleep|talk|smok|wash|cook|row|kick|catch|circle|shake|rotat|tap|slow|fast|gait",
    re.IGNORECASE,
)
SESSIONS = frozenset(
    [
        "am",
        "pm",
        "morning",
        "noon",
        "evening",
        "night",
        "pre",
        "post",
        "before",
        "after",
        "baseline",
        "followup",
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
        "sat",
        "sun",
    ]
)
NOTHING = frozenset(("", "null", "none", "nan", "na", "n/a", "unlabelled", "unlabeled", "undefined", "unknown", "-1"))
"""Labels that stand for no class."""

TEN_TWENTY = frozenset(
    [
        "fp1",
        "fpz",
        "fp2",
        "af7",
        "af3",
        "afz",
        "af4",
        "af8",
        "f9",
        "f7",
        "f5",
        "f3",
        "f1",
        "fz",
        "f2",
        "f4",
        "f6",
        "f8",
        "f10",
        "ft9",
        "ft7",
        "fc5",
        "fc3",
        "fc1",
        "fcz",
        "fc2",
        "fc4",
        "fc6",
        "ft8",
        "ft10",
        "t7",
        "t3",
        "t9",
        "c5",
        "c3",
        "c1",
        "cz",
        "c2",
        "c4",
        "c6",
        "t8",
        "t4",
        "t10",
        "tp9",
        "tp7",
        "cp5",
        "cp3",
        "cp1",
        "cpz",
        "cp2",
        "cp4",
        "cp6",
        "tp8",
        "tp10",
        "p9",
        "p7",
        "t5",
        "p5",
        "p3",
        "p1",
        "pz",
        "p2",
        "p4",
        "p6",
        "p8",
        "t6",
        "p10",
        "po7",
        "po3",
        "poz",
        "po4",
        "po8",
        "o1",
        "oz",
        "o2",
        "iz",
        "a1",
        "a2",
    ]
)
JOINTS = frozenset(
    [
        "head",
        "neck",
        "spine",
        "hip",
        "shoulder",
        "elbow",
        "wrist",
        "hand",
        "knee",
        "ankle",
        "foot",
        "pelvis",
        "chest",
        "thumb",
        "heel",
        "toe",
        "nose",
        "eye",
        "ear",
        "torso",
        "center",
    ]
)

UNITS: tuple[tuple[str, str, float], ...] = (
    (r"m/?s(?:ec)?[\^ ]?(?:2|²)|m[ ./]?s-2|m s\^?-2|ms2|mps2", "m/s2", 1.0),
    (r"mg", "g", 0.001),
    (r"g|g's|gs", "g", 1.0),
    (r"deg(?:rees?)?(?:/s(?:ec)?|ps| per s| s-1)|dps|°/s", "deg/s", 1.0),
    (r"mdps", "deg/s", 0.001),
    (r"rad(?:ians?)?(?:/s(?:ec)?|ps| per s| s-1)|rads", "rad/s", 1.0),
    (r"[uµμ]t|microtesla", "uT", 1.0),
    (r"mgauss", "uT", 0.1),
    (r"[uµμ]v", "uV", 1.0),
    (r"mv", "mV", 1.0),
    (r"°?c|deg ?c|celsius", "C", 1.0),
    (r"bpm", "bpm", 1.0),
    (r"h?pa", "hPa", 1.0),
)
"""How headers write units: the pattern, the card's unit, and the factor to it."""

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-zµμ]+|\d+|[^\W\d_]+")


def parts(name: str) -> list[str]:
    """The words of a name, in small letters.

    >>> parts("accX_LeftWrist 2")
    ['acc', 'x', 'left', 'wrist', '2']
    """
    return [part.lower() for part in _PARTS.findall(name)]


def role(word: str) -> str:
    """What a whole word says: subject, session, recording, label, device or ''.

    >>> role("Subjects"), role("trial"), role("x")
    ('subject', 'recording', '')
    """
    word = word.lower()
    return ROLES.get(word) or (ROLES.get(word[:-1], "") if word.endswith("s") else "")


def kind(word: str) -> str:
    """The kind of sensor that a word names, or ''."""
    word = word.lower()
    return "" if word in SHORT else KINDS.get(word, "")


def is_device(word: str) -> bool:
    """Whether a word, such as acc, phone or left_wrist, names a device, a sensor or a place on the body."""
    words = parts(word)
    return bool(words) and all(kind(part) or part in PLACES or part.isdecimal() for part in words)


def slug(text: str) -> str:
    """A plain name: small letters, digits and _."""
    return re.sub(r"\W+", "_", text.strip().lower()).strip("_")


def unit_in(name: str) -> tuple[str, str, float]:
    """A column's name without its unit, the unit ('' if it names none) and the factor to it.

    >>> unit_in("acc x (mg)"), unit_in("ax")
    (('acc x', 'g', 0.001), ('ax', '', 1.0))
    """
    found = re.search(r"[\[(]([^\])]*)[\])]\s*$", name)
    if found:
        for pattern, unit, factor in UNITS:
            if re.fullmatch(pattern, found[1].strip(), re.IGNORECASE):
                return name[: found.start()].strip(), unit, factor
        return name[: found.start()].strip() or name, "", 1.0
    last = re.search(r"[_ ](mg|ms2|mps2|m/s2|m/s\^2|dps|deg/s|rads|rad/s|ut|uv|mv|g)$", name, re.IGNORECASE)
    if last:
        for pattern, unit, factor in UNITS:
            if re.fullmatch(pattern, last[1], re.IGNORECASE):
                return name[: last.start()], unit, factor
    return name, "", 1.0
