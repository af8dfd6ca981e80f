"""Two people promote at once: at most one is told that it worked, and the other why not."""

import threading
from dataclasses import dataclass, field

import pytest

from features.errors import InputError
from flows.promotion import CHAMPION, PREVIOUS, alone, move_champion


@dataclass
class FakeRegistry:
    """MLflow's alias without compare-and-set; ``at_call`` runs a hook before one of its calls."""

    aliases: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    calls: int = 0
    at_call: int = 0
    hook: object = None

    def _called(self):
        self.calls += 1
        if self.calls == self.at_call and self.hook is not None:
            hook, self.hook = self.hook, None
            hook()

    def get_registered_model(self, name):
        self._called()
        return FakeRegistry(aliases=dict(self.aliases), tags=dict(self.tags))

    def set_registered_model_tag(self, name, key, value):
        self._called()
        self.tags[key] = value

    def set_registered_model_alias(self, name, alias, version):
        self._called()
        self.aliases[alias] = version


def promoted(registry, version, expected):
    try:
        move_champion(registry, "m", version, expected)
    except InputError:
        return False
    return True


def test_a_promotion_remembers_the_champion_before():
    registry = FakeRegistry(aliases={CHAMPION: "1"})
    move_champion(registry, "m", 2, 1)
    assert registry.aliases == {CHAMPION: "2"}
    assert registry.tags[PREVIOUS] == "1"


@pytest.mark.parametrize("call", range(1, 9))
def test_between_machines_never_both_are_told_that_it_worked(call):
    """The second promotion comes whole before each call of the first, one after the other."""
    registry = FakeRegistry(aliases={CHAMPION: "1"}, at_call=call)
    second = []
    registry.hook = lambda: second.append(promoted(registry, 3, 1))
    first = promoted(registry, 2, 1)
    assert not (first and any(second))
    assert registry.aliases[CHAMPION] in {"2", "3"}
    if first:
        assert registry.aliases[CHAMPION] == "2"


def test_what_the_caller_did_not_see_is_not_replaced():
    registry = FakeRegistry(aliases={CHAMPION: "4"})
    with pytest.raises(InputError, match="champion is version 4 by now, not none"):
        move_champion(registry, "m", 5, 0)
    assert registry.aliases[CHAMPION] == "4"


def test_on_one_machine_exactly_one_of_many_wins():
    registry, won = FakeRegistry(), []
    begin = threading.Barrier(8)

    def person(version):
        begin.wait(30)
        with alone("http://somewhere", "m"):
            if promoted(registry, version, 0):
                won.append(version)

    people = [threading.Thread(target=person, args=(version,)) for version in range(1, 9)]
    for one in people:
        one.start()
    for one in people:
        one.join(30)
    assert len(won) == 1
    assert registry.aliases == {CHAMPION: str(won[0])}
