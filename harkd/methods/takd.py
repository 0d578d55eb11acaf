"""Teacher-assistant distillation: a chain of nets of falling size, each taught by the one before it.

    for each assistant, then for the student:   L = (1 - weight) CE(y, s) + weight * T^2 KL(softmax(a / T) || softmax(s / T))

Where teacher and student are far apart, a net between them helps: it can follow the teacher, and the student can follow it. The
assistants are runs of their own, trained once and shared. `a` is the last of them; without any, it is the teacher, and this is
plain distillation.

Take it when a large teacher helps less than a smaller one, or when the student sees much less than the teacher: an assistant
sees what the student sees, unless told otherwise (`--assistants-see`). `harkd compare --vary "assistants=paths(A,B,C)"` finds out
which of them help: it goes all eight ways over three assistants, and trains what they share once.
"""

from harkd.engine import Phase
from harkd.methods.method import Method, Plan, Players, named, taught
from harkd.options import TAKD


def recipe(players: Players, options: TAKD, plan: Plan) -> list[Phase]:
    """The phase of plain distillation, from the last assistant."""
    chain = [*named(players, "teacher"), *named(players, "assistant")]
    return [taught({"student": players["student"], "teacher": players[chain[-1]]}, options, plan)]


METHOD = Method(
    key="takd",
    title="teacher-assistant distillation: a chain of nets",
    recipe=recipe,
    options=TAKD,
    source="S.-I. Mirzadeh et al.: Improved knowledge distillation via teacher assistant, AAAI 2020, arXiv 1902.03393",
    evidence="follows the released code (its loss is reduction = 'mean') but for the choice of the best epoch on test data; here "
    "an assistant's last epoch teaches",
    assistants=(0, None),
    phases="1, and 1 for each assistant",
)
