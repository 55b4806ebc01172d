"""The sick zoo's bookkeeping: which runs there are, how they are scored, and how advice is followed."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from made import CONFIG, FACTS, TICKS, history, rows

from gansmith import recipes
from gansmith.auto import make
from gansmith.doctor import diagnose
from gansmith.doctor.course import Course
from gansmith.doctor.rules import RULES, Limits
from gansmith.session import fields_from_yaml

FOLDER = Path(__file__).parent.parent.parent / "benchmarks" / "doctor"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a script of the zoo as when it runs."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def found(name: str) -> ModuleType:
        return importlib.import_module(name)

    return found


def test_the_zoo_is_as_large_as_it_should_be(load: Any) -> None:
    zoo = load("zoo")
    every = list(zoo.cases())
    assert len(zoo.FAULTS) >= 10 and len({c.key for c in every}) == len(every)
    healthy = [c for c in every if not c.expected]
    assert len(healthy) >= 40 and len({c.name for c in healthy}) == 5
    for data in zoo.SETS:
        counts = Counter(c.name for c in every if c.data == data)
        assert set(counts.values()) == {5} and counts.keys() == zoo.FAULTS.keys() | zoo.HEALTHY.keys()


def test_every_case_is_a_training_that_can_be_given(load: Any) -> None:
    zoo = load("zoo")
    known = {*RULES, "data-fault"}
    for case in zoo.cases(seeds=1):
        options = dict(case.options)
        cls = recipes.find(options.pop("recipe"))
        fields = {k: v for k, v in options.items() if k not in ("preset", "resolution", "tick")}
        make(cls, dict(cls.presets.get(options.get("preset"), {})) | fields)
        assert set(case.expected) <= known and options["samples"] // options["tick"] == 20


def test_what_is_sick(load: Any) -> None:
    sick = load("zoo").sick
    well = {"modes": 1.0, "coverage": 0.5, "precision": 0.5}
    assert not sick(well, 0.7, 0.9)
    assert sick(well | {"modes": 0.8}, 0.7, 0.9) and sick(well, 0.8, 0.9) and sick(well, 0.7, 1.1)


def run(fit: ModuleType, name: str, sick: bool, expected: list[str], **changed: Any) -> Any:
    facts = {"name": name, "data": "ring8", "sick": sick, "expected": expected}
    return fit.Run(facts, Course(history(**changed)), [])


def test_scores_of_a_doctor(load: Any) -> None:
    fit = load("fit")
    runs = [
        run(fit, "good", False, []),
        run(fit, "good", False, [], memory=0.9),  # a false alarm
        run(fit, "collapse", True, ["mode-collapse"], diversity=0.1),
        run(fit, "collapse", True, ["mode-collapse"]),  # missed
        run(fit, "fit", True, ["memorisation"], memory=0.9),  # seen, but called by another name
        run(fit, "fit", False, ["memorisation"]),  # the fault did nothing
    ]
    found = fit.judged(runs, Limits(), fit.dependencies(runs))
    assert (found.recall, found.false_alarms, found.first_cause) == (0.75, 0.5, 0.5)
    assert found.counts == {"healthy": 2, "sick": 3, "mild": 1}
    assert found.confusion["collapse"] == {"mode-collapse": 1, "none": 1}
    assert 0 < found.detection <= 0.4


def test_the_page_of_the_scores(load: Any) -> None:
    fit, publish = load("fit"), load("publish")
    runs = [
        run(fit, "nonsaturating", False, []),
        run(fit, "small_latent", True, ["mode-collapse"], diversity=0.1),
        run(fit, "small_latent", True, ["mode-collapse"]),  # missed
    ]
    found = fit.judged(runs, Limits(), fit.dependencies(runs))
    lines = publish.page(found, fit.score(runs, [[["folk"]] * TICKS] * 3)).splitlines()
    assert "| sick runs with an alarm (mean over the faults) | 50 % | 100 % |" in lines
    assert "| healthy runs with an alarm at any tick | 0 % | 100 % |" in lines
    assert lines[-4:] == [
        "| | mode-collapse | none |",
        "|---|---|---|",
        "| small_latent | 1 | 1 |",
        "| nonsaturating |  | 1 |",
    ]


def test_the_page_of_the_advice(load: Any) -> None:
    publish = load("publish")
    after = {"coverage": 0.5}
    runs = [
        {"name": "momentum", "change": "Take it out: x", "before": {"coverage": 0.1}, "after": after, "improved": True},
        {"name": "momentum", "change": "", "before": {"coverage": 0.2}, "after": None, "improved": False},
    ]
    record = {"date": "2026-01-01", "seeds": 2, "improved": 1, "of": 2, "interval": [0.1, 0.9], "runs": runs}
    once = publish.with_advice("# Page\n", record)
    assert "**1 of 2** runs, 50 % (95 % interval 10 to 90 %)" in once
    assert once.splitlines()[-1] == "| momentum | 1 of 2 | 0.10 to 0.50 | Take it out |"
    assert publish.with_advice(once, record) == once  # written again, not twice


def test_the_fit_finds_limits_that_separate(load: Any) -> None:
    """Healthy runs remember a little more than the starting limit allows, sick ones much more."""
    fit = load("fit")
    runs = [run(fit, "good", False, [], memory=0.81 + 0.005 * i) for i in range(4)]
    runs += [run(fit, "by heart", True, ["d-overfitting"], memory=0.9 + 0.02 * i) for i in range(4)]
    asked = fit.dependencies(runs)
    before, limits = fit.judged(runs, Limits(), asked), fit.fit(runs, asked)
    after = fit.judged(runs, limits, asked)
    assert before.false_alarms == 1.0 and (after.false_alarms, after.recall) == (0.0, 1.0)
    assert 0.825 < limits.remembers < 0.9


def test_scores_agree_with_the_doctor(load: Any) -> None:
    """The fit's shortcut finds what `diagnose` finds."""
    fit = load("fit")
    for changed in ({"diversity": 0.1}, {"memory": 0.9}, {"auc": 1.0, "coverage": 0.2}, {}):
        one = run(fit, "x", True, [], **changed)
        found = one.findings(Limits(), fit.dependencies([one]))
        for ticks in range(4, 13):
            told = [f.problem for f in diagnose(one.course.history.until(ticks)).findings]
            assert found[ticks - 1] == told, (changed, ticks)


@pytest.mark.parametrize(
    ("d", "g", "accuracy", "alarm"), [(1.3, 1.5, 0.75, False), (0.2, 1.5, 0.75, True), (1.3, 0.7, 0.75, True)]
)
def test_the_folk_rule(load: Any, d: float, g: float, accuracy: float, alarm: bool) -> None:
    fit = load("fit")
    one = run(fit, "x", True, [], **{"D/adv": d, "G/adv": g, "acc_real": accuracy, "acc_fake": accuracy})
    assert bool(fit.folk(one)[-1]) == alarm


def test_advice_is_followed_as_it_is_given(load: Any) -> None:
    zoo, follow = load("zoo"), load("follow")
    by_key = {c.key: c for c in zoo.cases(seeds=1)}
    found = diagnose(history(config=CONFIG | {"fields": CONFIG["fields"] | {"lr_d": 0.1}}, auc=1.0, coverage=0.2))
    again = follow.followed(by_key["ring8-d_too_fast-0"], found.findings[0])
    change = fields_from_yaml(dict(found.findings[0].change.fields))
    assert again.options == by_key["ring8-d_too_fast-0"].options | change and again.key != "ring8-d_too_fast-0"
    faulty = rows()
    for record in faulty:
        record["signs"]["facts"] = FACTS | {"count": 54.0}
    few = next(iter(diagnose(follow.from_rows(faulty, CONFIG)).findings))
    assert follow.followed(by_key["digits-tiny_data-0"], few).twist == ""
    assert follow.followed(by_key["digits-frozen_g-0"], few) is None  # those data were sound


def test_better_means_beyond_the_noise(load: Any) -> None:
    improved = load("follow").improved
    before = {"coverage": 0.5, "coverage_error": 0.02, "kid": 0.1, "kid_error": 0.01}
    assert improved(before, before | {"coverage": 0.6}) and improved(before, before | {"kid": 0.05})
    assert not improved(before, before | {"coverage": 0.54}) and not improved(before, before | {"kid": 0.08})


def test_first_finding_of_a_run(load: Any, tmp_path: Path) -> None:
    follow = load("follow")
    (tmp_path / "run.yaml").write_text(json.dumps(CONFIG))
    records = rows(memory=np.array([0.5] * 5 + [0.9] * 3 + [0.5] * 4))  # over at the end
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert follow.first_finding(tmp_path).problem == "d-overfitting"
