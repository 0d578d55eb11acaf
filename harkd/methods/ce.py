"""Labels alone: cross-entropy. The control that every method is compared with."""

from harkd.engine import Phase, Step
from harkd.methods.method import Method, Plan, Players
from harkd.objectives import CrossEntropy
from harkd.options import CE


def recipe(players: Players, options: CE, plan: Plan) -> list[Phase]:
    """One phase, one term."""
    objective = CrossEntropy(smoothing=options.smoothing)
    return [Phase(plan.epochs, players, objective, [Step({"ce": 1.0})], plan.curriculum, plan.optimiser, at=plan.at)]


METHOD = Method(
    key="ce",
    title="cross-entropy with the labels",
    recipe=recipe,
    options=CE,
    source="textbook",
    evidence="textbook",
    teachers=(0, 0),
    cost="student",
)
