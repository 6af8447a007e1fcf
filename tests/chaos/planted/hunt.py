"""Look for a planted bug seed by seed; and show that without it the same seeds find nothing."""

from dataclasses import replace
from functools import cache

from tests.chaos.plan import Plan, plan_of
from tests.chaos.planted.interleaving import Planted
from tests.chaos.planted.report import Caught, EscapedError
from tests.chaos.shrink import shrink
from tests.chaos.simulation import Outcome, simulate

# The rarest of them shows in one seed out of forty.
SEEDS_MAX = 400
# Seeds under which the control, and each guard alone, must hold.
CONTROLS = 8


def hunt(planted: Planted) -> Outcome:
    """The first seed that finds the bug, in the money if that is guarded twice."""
    with planted.put_in():
        for seed in range(SEEDS_MAX):
            plan = replace(planted.given(plan_of(seed)), guards=not planted.backstop)
            outcome = simulate(plan, money_alone=planted.backstop)
            if outcome.violated is not None:
                return outcome
    raise EscapedError(f"{SEEDS_MAX} seeds did not find it")


def check_controls(planted: Planted) -> None:
    """Without the bug all holds; where there are two layers, each alone holds the money."""
    for seed in range(CONTROLS):
        plan = planted.control(plan_of(seed))
        expect_nothing_without_bug(plan)
        if planted.backstop:
            expect_nothing_without_bug(replace(plan, guards=False))
            with planted.put_in():
                expect_nothing("with the guards alone", simulate(plan, money_alone=True))


# The controls of most bugs are the same.
@cache
def expect_nothing_without_bug(plan: Plan) -> None:
    """Raise EscapedError if a promise was broken."""
    when = "without the bug" if plan.guards else "without bug and guards"
    expect_nothing(when, simulate(plan))


def expect_nothing(when: str, outcome: Outcome) -> None:
    """Raise EscapedError if a promise was broken."""
    if outcome.violated is not None:
        raise EscapedError(f"{when}, seed {outcome.plan.seed} finds {outcome.violated}")


def catch(planted: Planted) -> Caught:
    """Hunt, and check the controls."""
    outcome = hunt(planted)
    check_controls(planted)
    return Caught(planted.name, str(outcome.violated), f"{outcome.plan.seed + 1} seeds")


def history(planted: Planted) -> str:
    """The shortest history that shows the bug."""
    found = hunt(planted)
    assert found.violated is not None
    with planted.put_in():
        smallest = shrink(found.plan, found.violated.invariant, money_alone=planted.backstop)
    return "\n".join([str(smallest.plan), *smallest.trace, f"=> {smallest.violated}"])
