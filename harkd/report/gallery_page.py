"""The gallery of augmentations as a page, or as a picture."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure as Drawing

from harkd.augment import Branching, Transform, parse, to_text
from harkd.augment.ops import NODES, OPS
from harkd.augment.transform import nodes
from harkd.report.catalogue import spaced, worded
from harkd.report.columns import Canvas
from harkd.report.drawing import clipped
from harkd.report.gallery import Gallery
from harkd.report.preview import picture
from harkd.report.recordings import DARK, LIGHT
from harkd.report.render import to_html
from harkd.report.tree import Block, Facts, Page, Section, Table, Text
from harkd.report.words import NONE, SYNTHETIC, listed, many

_GAP, _MOST = 24, 20_000
"""Pixels between drawings, and how tall a picture gets before it has a second column."""


def to_page(gallery: Gallery) -> str:
    """One self-contained HTML page, in light and dark."""
    windows, card = gallery.windows, gallery.windows.card
    sections = [Section(title, tuple(item.figure() for item in items)) for title, items in gallery.sections()]
    if gallery.strategy:
        sections.insert(0, Section("What it does to a label", _ops(gallery)))
        verdict = f"{spaced(to_text(parse(gallery.strategy)))} on {_drawn(gallery)}"
    else:
        sections.append(Section("Not on these recordings", _missing(gallery)))
        verdict = f"Every op at its default on {_drawn(gallery)}"
    terms = Facts((("Citation", card.citation), ("Licence", f"{card.licence.name}. {card.licence.note}".strip())))
    page = Page(
        kicker=SYNTHETIC if card.synthetic else "Preview of augmentation",
        title=f"{'Augmentation' if gallery.strategy else 'All augmentations'} of {card.name}",
        verdict=verdict,
        details=(),
        notes=_notes(gallery),
        sections=tuple(section for section in (*sections, Section("Terms of the data", (terms,))) if section.blocks),
        footer=f"Drawn by harkd augment preview, seed {gallery.seed}. {windows.card.name}, split {gallery.split}.",
    )
    return to_html(page)


def privacy(gallery: Gallery) -> str:
    """What whoever passes the page on has to mind; nothing of made-up people."""
    if gallery.windows.card.synthetic:
        return ""
    who = len({gallery.windows.subjects[at] for at in gallery.at})
    shown = f"{many(len(gallery.at), 'window')} of recorded signals of {many(who, 'subject')}"
    return f"The page shows {shown}: pass it on as you would pass on the recordings."


def to_picture(gallery: Gallery, *, dark: bool = False) -> bytes:
    """The drawings of the page as one PNG, side by side where they are many."""
    palette = DARK if dark else LIGHT
    items = [
        replace(item, title=f"{title}: {item.title}" if gallery.steps else item.title)
        for title, items in gallery.sections()
        for item in items
    ]
    heights = [54 + sum(piece.size[1] + _GAP for piece in item.pieces) for item in items]
    wide = max(piece.size[0] for item in items for piece in item.pieces) + _GAP
    across = -(-int(sum(heights)) // _MOST)
    share = sum(heights) / across
    places, left, top = [], 0.0, 0.0
    for high in heights:
        if top + high / 2 > share and left < wide * (across - 1):
            left, top = left + wide, 0.0
        places.append((left, top))
        top += high
    head = 52
    size = (wide * across + 12, head + max(y + high for (_, y), high in zip(places, heights, strict=True)))

    def fill(figure: Drawing) -> None:
        sheet = Canvas(figure, size, palette)
        title = spaced(to_text(parse(gallery.strategy))) if gallery.strategy else "all augmentations, at their defaults"
        sheet.text(12, 10, clipped(f"{gallery.windows.card.name}: {title}", wide * across - 24, 9), 14, weight="bold")
        sheet.text(12, 32, clipped(f"{gallery.windows.card.citation}", wide * across - 24, 5.4), 9, alpha=0.8)
        for item, (x, y) in zip(items, places, strict=True):
            sheet.text(x + 12, head + y + 8, clipped(item.title, wide - 24, 7.4), 12, weight="bold")
            sheet.text(x + 12, head + y + 26, clipped(item.caption, wide - 24, 5.4), 9, alpha=0.8)
            down = head + y + 46
            for piece in item.pieces:
                sheet.text(x + 12, down, piece.title, 9.5)
                piece.fill(Canvas(figure, size, palette, x + 12, down + 14))
                down += piece.size[1] + _GAP

    return picture(".png", size, palette, fill)


def _drawn(gallery: Gallery) -> str:
    windows = gallery.windows
    first = next(iter(windows.sensors.values()))
    seconds = windows.lengths[first.name] / first.rate
    shown = f"{many(len(gallery.at), 'window')} of {seconds:.3g} s, {many(gallery.draws, 'draw')} of each"
    return f"{shown}, out of {len(windows):,} training windows of {windows.card.title}."


def _notes(gallery: Gallery) -> tuple[str, ...]:
    notes = [privacy(gallery)]
    if gallery.strategy and (refused := gallery.refusal()):
        notes.append(f"harkd train refuses this strategy: {refused}.")
    return tuple(filter(None, notes))


def _ops(gallery: Gallery) -> tuple[Block, ...]:
    """A row for every policy and every op of the strategy."""
    told = {entry.name: worded(entry.about) for entry in gallery.entries}
    about = {kind: told[name] for name, kind in (*OPS.items(), *NODES.items())}
    rows = []
    for node in nodes(parse(gallery.strategy)):
        rows.append((spaced(to_text(node)), about[type(node)], *_effect(gallery, node)))
        pool = node.branches if isinstance(node, Branching) and node.FLAT else ()
        rows += [(to_text(op), about[type(op)], *_effect(gallery, op)) for op in pool]
    if not rows:
        return ()
    reading = (
        "Every draw is what one visit of the window in training would give. Spectra show amplitudes: the root mean square over "
        "the channels, without their means; dashed is the spectrum as it was recorded."
    )
    return (Table("The ops of the strategy", ("op", "does", "label", "the card says"), tuple(rows), texts=4), Text(reading))


def _effect(gallery: Gallery, op: Transform) -> tuple[str, str]:
    """What becomes of the label, and what the card says to what that assumes."""
    if isinstance(op, Branching):
        return "as its ops say", NONE
    denied = {each: gallery.windows.card.breaks(each) for each in sorted(op.assumes)}
    said = "; ".join(f"{each} denied for {', '.join(classes)}" for each, classes in denied.items() if classes)
    return f"kept if {listed(list(denied))}" if op.label == "kept if" else op.label, said or ("allowed" if denied else NONE)


def _missing(gallery: Gallery) -> tuple[Block, ...]:
    rows = [(entry.text, str(problem)) for entry in gallery.entries if (problem := gallery.why_not(entry))]
    return (Table("What these recordings lack", ("op", "why"), tuple(rows), texts=2),) if rows else ()
