"""Names from the user: found, or answered with the nearest known one."""

from __future__ import annotations

import pytest

from deepctr_torch.registry import Registry, suggest


def make() -> Registry[int]:
    registry: Registry[int] = Registry("number")
    registry.add("two", 2)
    registry.register("one", "uno")(1)
    return registry


def test_get_and_iterate() -> None:
    registry = make()
    assert registry.get("two") == 2
    assert registry.get("one") == registry.get("uno") == 1
    assert list(registry) == ["one", "two", "uno"]
    assert len(registry) == 3
    assert "two" in registry
    assert "three" not in registry
    assert 2 not in registry


def test_decorator_returns_the_item() -> None:
    registry: Registry[type] = Registry("class")

    @registry.register("a", "b")
    class Item:
        pass

    assert registry.get("a") is registry.get("b") is Item


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="number 'two' is registered already"):
        make().add("two", 22)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tow", "unknown number 'tow': did you mean 'two'? Known: one, two, uno"),
        ("TWO", "unknown number 'TWO': did you mean 'two'? Known: one, two, uno"),
        ("xyz", "unknown number 'xyz': Known: one, two, uno"),
    ],
)
def test_unknown_name(name: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make().get(name)
    assert str(caught.value) == message


def test_suggest_keeps_the_spelling_of_known_names() -> None:
    assert suggest("deepfm", ["DeepFM", "DIN"]) == "did you mean 'DeepFM'? Known: DIN, DeepFM"
    assert suggest("a", []) == "Known: "
