import json

import pandas as pd

from powerbert_cli.report.front import curves_of, dominance, pareto_front, points_of
from powerbert_cli.report.settings_table import best_within, over_seeds, settings_of
from powerbert_cli.report.sweep_picture import draw
from powerbert_cli.report.sweep_table import once_each, sweep_table, with_settings, write_and_say


def result(lam, value, speed, **more):
    return {
        "status": "ok", "lambda": lam, "seed": 0, "job": 0, "task": "rte", "metric": "accuracy", "value": value,
        "baseline": 0.9, "drop": 0.9 - value, "drop_low": 0.0, "drop_high": 0.02, "max_drop": 0.01, "kept_share": 0.5,
        "confidence": 0.9,
        "retention": [3, 2], "flops_ratio": speed, "run_dir": "x", "plain_max_ms": 2.0, "plain_sorted_ms": 1.0,
        "speed": speed, "speed_low": 0.9 * speed, "speed_high": 1.1 * speed, "doubt": None,
        **{f"speedup_{p}": speed for p in ("max", "longest", "sorted")},
        **{f"elimination_{p}": speed / 1.3 for p in ("max", "longest", "sorted")}, **more,
    }  # fmt: skip


RESULTS = [result(1e-4, 0.90, 1.5), result(1e-3, 0.895, 2.0), result(3e-3, 0.88, 1.9), result(1e-2, 0.85, 3.0)]
FAILED = {"status": "failed", "lambda": 1.0, "seed": 0, "job": 9, "reason": "out of memory", "run_dir": "y"}


def test_pareto_front_leaves_out_what_is_beaten_in_both():
    assert [r["lambda"] for r in pareto_front(RESULTS)] == [1e-4, 1e-3, 1e-2]


def test_fastest_within_the_limit():
    assert best_within(with_settings(RESULTS))["lambda"] == 1e-3
    assert best_within(with_settings([RESULTS[3]])) is None


SEEDS = [
    [result(1e-3, 0.9 - drop, 2.9, seed=seed, test_value=0.8 + 0.01 * seed, test_baseline=0.85, drop=drop)
     for seed, drop in enumerate((0.005, 0.03, 0.03))],
    [result(1e-4, 0.9 - drop, speed, seed=seed, test_value=0.84 + 0.01 * seed, test_baseline=0.85, drop=drop)
     for seed, (drop, speed) in enumerate(((0.002, 1.8), (0.003, 2.0), (0.004, 2.2)))],
]  # fmt: skip


def test_it_is_a_setting_that_is_chosen_by_its_means_and_no_lucky_job(tmp_path, capfd):
    """One seed of the faster setting is within the limit, its mean of 0.022 is not."""
    jobs = with_settings([*SEEDS[0], *SEEDS[1]])
    best = best_within(jobs)
    assert best["setting"] == "λ=0.0001" and best["runs"] == 3
    assert abs(best["drop"] - 0.003) < 1e-12 and best["drop_low"] < 0.003 < best["drop_high"]
    assert abs(best["speed"] - (1.8 * 2.0 * 2.2) ** (1 / 3)) < 1e-9 and best["speed_low"] < 1.99 < best["speed_high"]
    assert abs(best["test_value"] - 0.85) < 1e-12 and abs(best["test_value_std"] - 0.01) < 1e-12
    write_and_say(tmp_path, jobs)
    said = capfd.readouterr().out
    assert "fastest within 0.01 of the baseline: λ=0.0001 (mean drop +0.0030 of 3 runs, 95% interval +0.0005 to" in said
    assert "accuracy 0.8500 ± 0.0100 over 3 runs, baseline 0.8500" in said
    assert json.loads((tmp_path / "sweep.json").read_text())["best"]["setting"] == "λ=0.0001"
    assert best_within(with_settings(SEEDS[0])) is None


def test_a_setting_is_on_the_front_with_all_its_jobs():
    """A seed of the setting that is beaten is itself as good as any: it is the mean that counts."""
    lucky = [result(1e-2, 0.91, 1.5, seed=0), result(1e-2, 0.70, 1.5, seed=1)]
    steady = [result(1e-3, 0.90, 1.6, seed=seed) for seed in (0, 1)]
    table = sweep_table(with_settings([*lucky, *steady]))
    assert table["on_front"].tolist() == [True, True, False, False]
    assert [one["runs"] for one in settings_of(with_settings([*lucky, *steady]))] == [2, 2]


def test_a_job_without_a_speed_that_counts_is_not_the_fastest(tmp_path, capfd):
    none = {**result(1e-2, 0.9, 5.0, not_counted=["sorted"]), **dict.fromkeys(("speed", "speed_low", "speed_high"))}
    jobs = with_settings([RESULTS[0], none])
    assert best_within(jobs)["lambda"] == 1e-4
    write_and_say(tmp_path, jobs)
    said = capfd.readouterr().out
    assert "5.00*" in said and "its speed does not count" in said


def test_jobs_whose_times_are_not_to_be_trusted_are_counted(tmp_path, capfd):
    doubt = "do not trust these times: the rounds disagree"
    write_and_say(tmp_path, with_settings([RESULTS[0], {**RESULTS[1], "doubt": doubt}]))
    said = capfd.readouterr().out
    assert f"1 of 2 jobs, the first: {doubt}" in said
    assert "2.00 (95% 1.80 to 2.20) times as fast as the fastest plain model" in said
    assert "the better of the fine-tuned plain model and the one trained as long" in said
    assert "the interval of its drop reaches beyond 0.01" in said  # up to 0.02


def test_a_padding_that_there_was_no_time_for_is_left_out(tmp_path, capfd):
    """Of one job of two, or of all."""
    lacks = {**RESULTS[1], "speedup_max": None, "flops_ratio": None}
    write_and_say(tmp_path, with_settings([RESULTS[0], lacks]))
    bare = {**{k: v for k, v in RESULTS[0].items() if not k.startswith("plain_")}, "speedup_sorted": None}
    write_and_say(tmp_path, with_settings([bare]))
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG") and "λ=0.0001" in capfd.readouterr().out


def test_a_drop_of_just_the_limit_is_within_it():
    """1.0 - 0.99 is a little more than 0.01 in floating point."""
    assert best_within(with_settings([result(1e-3, 0.99, 2.0, baseline=1.0, drop=1.0 - 0.99)])) is not None
    assert best_within(with_settings([result(1e-3, 0.99, 2.0, baseline=1.0, drop=0.0101)])) is None


def test_equal_jobs_count_once():
    """As those of several λ under a target, which decides alone."""
    one = result(None, 0.9, 1.5, target="target.flops=0.5", overrides={"lambda": "1e-4"})
    jobs = [{**one, "overrides": {"lambda": lam}, "seed": seed} for lam in ("1e-4", "1e-3") for seed in (0, 1)]
    kept, repeated = once_each(with_settings(jobs))
    assert repeated == 2 and [(job["seed"], job["overrides"]["lambda"]) for job in kept] == [(0, "1e-4"), (1, "1e-4")]
    assert over_seeds(kept)["seeds"].tolist() == [2]
    failed = {**FAILED, "lambda": None, "target": "target.flops=0.5", "overrides": {"lambda": "1e-2"}}
    assert once_each(with_settings([failed, jobs[0]])) == (with_settings([jobs[0]]), 1)
    assert once_each(with_settings(RESULTS))[1] == 0


def test_table_has_the_promised_columns_first_and_lists_failures():
    table = sweep_table(with_settings([*RESULTS, FAILED]))
    promised = (
        "setting lambda target seed status retention kept_share metric value baseline drop drop_low drop_high "
        "flops_ratio speedup_max speedup_longest speedup_sorted elimination_max elimination_longest "
        "elimination_sorted speedup_packed elimination_packed run_dir"
    )
    assert list(table.columns)[:23] == promised.split()
    assert table["status"].tolist() == ["ok"] * 4 + ["failed"]
    assert table["on_front"].tolist() == [True, True, False, True, False]


def test_seeds_are_aggregated_for_each_lambda():
    two = [result(1e-4, 0.90, 1.5), result(1e-4, 0.88, 2.5, seed=1), result(1e-3, 0.8, 2.0)]
    table = over_seeds(with_settings(two))
    row = table.iloc[0]
    assert len(table) == 1 and (row["setting"], row["seeds"]) == ("λ=0.0001", 2)
    for name in ("speed", "speedup_sorted"):  # the geometric mean
        assert abs(row[name] - (1.5 * 2.5) ** 0.5) < 1e-12
    assert abs(row["value_mean"] - 0.89) < 1e-12 and abs(row["drop_mean"] - 0.01) < 1e-12
    assert abs(row["value_std"] - 0.02 / 2**0.5) < 1e-12
    assert row["drop_low"] < 0.01 < row["drop_high"]
    assert over_seeds(with_settings(RESULTS)).empty


def test_picture_is_drawn(tmp_path):
    draw(with_settings(RESULTS), tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_setting_is_what_sets_a_job_apart():
    def job(lam, target=None, **overrides):
        return result(lam, 0.9, 1.0, target=target, overrides=overrides)

    def settings(*jobs):
        return [one["setting"] for one in with_settings(list(jobs))]

    assert settings(job(1e-3, seed="0", task="rte"), job(1e-2, seed="1", task="rte")) == ["λ=0.001", "λ=0.01"]
    assert settings(job(1e-3, **{"retention.kind": "relative"}), job(1e-3, **{"retention.kind": "absolute"})) == [
        "kind=relative",
        "kind=absolute",
    ]
    drawn = (
        {"target.flops": "0.3123456789", "retrain.distill": "0.5"},
        {"target.flops": "0.4", "retrain.distill": "0.0"},
    )
    assert settings(*(job(None, "t", **one) for one in drawn)) == ["flops=0.3123 distill=0.5", "flops=0.4 distill=0"]
    assert (
        settings(job(None, "target.flops=0.3", seed="0"), job(None, "target.flops=0.3", seed="1"))
        == ["target.flops=0.3"] * 2
    )


def of_methods():
    """power has two points on the front and one on it of kcm; each of first's is beaten by one of power's."""
    points = {
        "power": [(0.90, 1.5), (0.85, 3.0)],
        "kcm": [(0.88, 2.0), (0.80, 2.5)],
        "first": [(0.84, 2.9), (0.7, 3.0)],
    }
    more = {"parameters": 2e6, "file_mb": 8.1, "plain_packed_ms": 1.0, "target": None}
    found = []
    for name, own in points.items():
        for value, speed in own:
            given = {"point": f"{name}-{speed}", "seed": "0"}
            found.append(result(None, value, speed, curve=name, overrides=given, speedup_packed=speed, **more))
    return with_settings(found)


def test_curves_and_what_lies_above_what():
    good = of_methods()
    assert [one["setting"] for one in good][:3] == ["power-1.5", "power-3.0", "kcm-2.0"]
    assert curves_of(good) == ["power", "kcm", "first"] and len(points_of(good)) == 6
    by = "by the means, intervals apart, "
    assert dominance(good) == [
        f"{by}on the front of metric against speed: power (power-1.5, power-3.0); kcm (kcm-2.0)",
        f"{by}every point of first is beaten by one of power",
    ]
    assert dominance(good[:2]) == []
    # as good and as fast is not beaten
    assert len(dominance([*good[:2], {**good[0], "curve": "same", "setting": "same"}])) == 1


def test_the_table_of_several_methods_has_sizes_and_their_order(tmp_path, capfd):
    write_and_say(tmp_path, [*of_methods()])
    table = pd.read_csv(tmp_path / "sweep.csv")
    assert table["curve"].tolist() == ["first", "first", "kcm", "kcm", "power", "power"]
    assert (table["parameters"] == 2e6).all() and (table["file_mb"] == 8.1).all()
    said = capfd.readouterr().out
    assert "million parameters" in said and "every point of first is beaten by one of power" in said
    assert (tmp_path / "sweep.png").stat().st_size > 10_000


def test_the_picture_of_a_perfect_model_ends_at_one(tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    found = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **more: found.extend(self.axes))
    draw(
        with_settings([result(1e-3, 1.0, 2.0, baseline=1.0), result(1e-2, 0.99, 2.5, baseline=1.0)]), tmp_path / "x.png"
    )
    assert found and all(axis.get_ylim()[1] <= 1.0 for axis in found)
    for axis in found:  # the labels do not lie over its title
        assert axis.texts and all(Text.get_window_extent(label).y1 <= axis.bbox.y1 for label in axis.texts)


def test_short_names_stand_explained_under_the_table(tmp_path, capfd):
    write_and_say(tmp_path, with_settings(RESULTS))
    said = capfd.readouterr().out
    assert "max: padded to ℓ; longest: " in said and "packed: end to end" not in said  # which was not timed
