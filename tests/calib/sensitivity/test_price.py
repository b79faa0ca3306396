"""What INT8 costs is told every time: on photographs that calibrated nothing, with a verdict, and again wherever INT8 is built."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

import posetrt
from posetrt.calib.accuracy.agreement import Agreement
from posetrt.calib.int8.calibrate import Calibrated, calibrate, folder_calibration, write_variants
from posetrt.calib.int8.calibration import Calibration
from posetrt.calib.int8.photographs import sample
from posetrt.calib.int8.scales import Layout
from posetrt.calib.sensitivity.budget import spare_noisiest
from posetrt.calib.sensitivity.judge import Judge, Runner
from posetrt.calib.sensitivity.outputs import Outputs
from posetrt.calib.sensitivity.price import LayoutPrice, Price, hold_back, layout_of, line, measured, price_from, priced, table, verdict_on
from posetrt.cli import main
from posetrt.runtime.errors import PosetrtError, UsageError
from posetrt.runtime.heads.coordinates import CoordinatesHead
from posetrt.runtime.model.folder import ModelFolder
from posetrt.runtime.model.manifest import InputSpec, Manifest
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People
from posetrt.runtime.placement import Fit
from tests.calib.int8.test_operators import graph_of


def paths(count: int) -> list[Path]:
    return [Path(f"{index:04}.jpg") for index in range(count)]


@pytest.mark.parametrize(
    ("given", "limit", "calibrating", "held"),
    [(5000, 100, 100, 60), (5000, None, 4500, 500), (110, 100, 90, 20), (40, None, 20, 20), (39, None, 39, 0), (12, 5, 5, 0)],
)
def test_a_tenth_is_held_back_at_least_twenty_and_sixty_where_a_limit_leaves_them_over(
    given: int, limit: int | None, calibrating: int, held: int
) -> None:
    drawn, kept = hold_back(paths(given), limit, 3)
    assert (len(drawn), len(kept)) == (calibrating, held)
    assert not set(drawn) & set(kept), "what calibrates does not judge"


def test_the_verdict_follows_the_agreement_and_is_unknown_where_nobody_is_seen() -> None:
    assert [verdict_on(agreement, 100, 100) for agreement in (0.9, 0.89, 0.3)] == ["fine", "costly", "unusable"]
    assert [verdict_on(0.95, 352, count) for count in (330, 300, 410)] == ["fine", "costly", "costly"], "a tenth more or fewer people"
    assert verdict_on(0.95, 30, 22) == "fine", "so few people are doubtful by eight"
    assert verdict_on(1.0, 0, 0) == "unknown", "two empty sets agree, which tells nothing"
    assert verdict_on(0.05, 3, 300) == "unusable", "people out of nothing are told even where FP32 finds hardly any"


def priced_at(**agreements: float) -> Price:
    layouts = {name: LayoutPrice(one, 100, 0.9, verdict_on(one, 100, 100)) for name, one in agreements.items()}
    return Price(20, "OKS", 100, layouts)


def test_a_network_that_looks_twice_is_judged_by_its_second_look(tmp_path: Path) -> None:
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[96:112, 176:192] = 255
    cv2.imwrite(str(tmp_path / "spot.png"), picture)
    spec = InputSpec("image", "NCHW", (256, 256), (256, 256), (256, 256), in_graph=True, fit=Fit("crop"))
    head = CoordinatesHead(
        outputs={"points": "points"}, columns=("x", "y", "score"), rows=16, origin="centre", next_crop_rows=(14, 15), next_crop_side=2.0
    )
    seen: list[np.ndarray] = []

    def run(tensor: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(tensor)
        points = np.zeros((1, 16, 3), np.float32)
        # The first look sees the spot and asks for 64 pixels about it; in the second it is the middle.
        points[0, :14] = (183.5, 103.5, 0.9) if len(seen) == 1 else (127.5, 127.5, 0.8)
        points[0, 14:, :2] = (183.5, 103.5), (183.5, 71.5)
        return {"points": points}

    (people,) = Judge(Manifest("twice", load_skeleton("mpi14"), spec, head), [tmp_path / "spot.png"]).people(run)
    assert len(seen) == 2
    assert seen[1][0, :, 100:156, 100:156].min() == 255
    assert seen[1].mean() == pytest.approx(255 / 16, rel=0.1), "16 of 64 pixels a side"
    np.testing.assert_allclose(people.keypoints[0, :, :2], np.tile([183.5, 103.5], (14, 1)), atol=0.01)
    np.testing.assert_allclose(people.keypoints[0, :, 2], 0.8)


def test_layers_of_a_network_that_looks_twice_are_ranked_by_its_second_look(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "any.png"), np.zeros((256, 256, 3), np.uint8))
    spec = InputSpec("image", "NCHW", (256, 256), (256, 256), (256, 256), in_graph=True, fit=Fit("crop"))
    head = CoordinatesHead(
        outputs={"points": "points"}, columns=("x", "y", "score"), rows=16, origin="centre", next_crop_rows=(14, 15), next_crop_side=2.0
    )

    def network(step: float) -> Runner:
        """Its first look asks for half of the picture, `step` pixels too far right; in the second all stays where it is in that crop."""

        def run(_tensor: np.ndarray) -> dict[str, np.ndarray]:
            points = np.full((1, 16, 3), 0.9, np.float32)
            points[0, :14, 0] = np.linspace(27.5, 227.5, 14)
            points[0, :14, 1] = 127.5
            points[0, 14:, :2] = (127.5 + step, 127.5), (127.5 + step, 63.5)
            return {"points": points}

        return run

    graph = graph_of([("Relu", ["image"], "points", {})], {}, {"image": [1, 3, 256, 256], "points": [1, 3, 256, 256]})
    outputs = Outputs(graph, Manifest("twice", load_skeleton("mpi14"), spec, head))
    judge = Judge(outputs.manifest, [tmp_path / "any.png"])
    wanted = outputs.of(judge, network(0))
    assert outputs.errors(judge, network(0), wanted) == [0.0]
    (error,) = outputs.errors(judge, network(8), wanted)
    assert error == pytest.approx((8 / 100) ** 2, rel=0.02), "100 pixels wide in the photograph, and 8 too far right"


def test_the_price_is_written_and_read_and_put_into_a_table() -> None:
    price = priced_at(ort=0.95, trt=0.31)
    assert price_from(json.loads(json.dumps(price.to_dict()))) == price
    assert price.unusable == ["trt"]
    assert "unusable" in table(price)
    assert "fp16" in table(price)
    assert "cannot be told" in table(Price(20, "OKS", 0, {"ort": LayoutPrice(1.0, 0, 0.9, "unknown")}))
    assert "not measured" in line(None, "trt")


class BrightestSpot(Judge):
    """Finds one person, all of whose parts are at the brightest pixel of the network's input: at whole pixels alone."""

    def people(self, run: Runner) -> list[People]:
        found = []
        for canvas, placement in self._placed:
            y, x = np.unravel_index(int(canvas[..., 0].argmax()), canvas.shape[:2])
            person = People(np.tile(np.array([x, y, 1], np.float32), (1, 18, 1)), np.ones(1, np.float32))
            found.append(placement.people_to_frame(person))
        return found


def test_pictures_moved_by_a_pixel_show_people_where_they_are(small_folder: ModelFolder, tmp_path: Path) -> None:
    """By a pixel of the network's input, which is half a pixel of this picture."""
    manifest = small_folder.manifest()
    width, height = manifest.input.size_wh
    picture = np.zeros((height // 2, width // 2, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "spot.png"), cv2.circle(picture, (7, 9), 1, (255, 255, 255), -1))
    here, aside = (BrightestSpot(manifest, [tmp_path / "spot.png"], aside=one) for one in (False, True))
    (canvas, _), (moved, _) = here._placed[0], aside._placed[0]
    np.testing.assert_array_equal(moved[1:, 1:], canvas[:-1, :-1])
    (one,), (other,) = here.people(lambda _: {}), aside.people(lambda _: {})
    np.testing.assert_allclose(one.keypoints[0, 0, :2], [7, 9], atol=1)
    np.testing.assert_allclose(other.keypoints, one.keypoints, atol=1e-4)


def test_where_int8_is_costly_the_network_is_compared_with_itself_a_pixel_aside(small_folder: ModelFolder, pictures: list[Path]) -> None:
    """A network that sees noise everywhere agrees with a layout that sees nothing by 0, and with itself by more."""
    base = onnx.load(str(small_folder.onnx))
    blind = onnx.load(str(small_folder.onnx))
    for tensor in blind.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.ndim == 4:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(value), tensor.name))
    lines: list[str] = []
    judge = Judge(small_folder.manifest(), pictures)
    price = measured(base, {"ort": (lambda: blind, "ort", 1.0)}, judge, lines.append)
    assert price.layouts["ort"].verdict == "unusable"
    assert price.moved is not None
    assert price.layouts["ort"].agreement < price.moved < 1
    assert lines[-1].endswith("moved by a pixel")
    assert f"agrees with itself by {price.moved:.3f}" in table(price)
    assert price_from(json.loads(json.dumps(price.to_dict()))).moved == pytest.approx(price.moved, abs=1e-4)
    same = measured(base, {"ort": (lambda: base, "ort", 1.0)}, judge)
    assert same.moved is None
    assert "agrees with itself" not in table(same)


def test_ranges_alone_are_priced_and_advised_against_but_end_no_command() -> None:
    price = priced_at(ort=0.95, trt=0.93, ranges=0.31)
    assert price.unusable == []
    assert "TensorRT 8, 10 by ranges" in table(price)
    assert "--explicit-qdq" in table(price)
    assert "Keep more layers" not in table(price)
    assert "--explicit-qdq" not in table(priced_at(ort=0.95, trt=0.93, ranges=0.92))
    assert "TensorRT 8, 10 by ranges" in line(price.to_dict(), "ranges")


@pytest.mark.parametrize(
    ("graph", "layout"),
    [
        ("variants/int8-ort.onnx", "ort"),
        ("variants/int8-trt-fp16.onnx", "trt"),
        ("variants/int8-trt-weak.onnx", "trt"),
        ("variants/int8-base.onnx", "ranges"),
        ("model.onnx", "ranges"),  # where nothing was equalised
        ("variants/fp8-trt.onnx", "fp8"),
    ],
)
def test_an_engine_repeats_the_price_of_what_it_was_built_from(graph: str, layout: str) -> None:
    assert layout_of(graph) == layout


def test_calibrate_measures_the_price_and_says_that_nobody_was_there(
    small_folder: ModelFolder, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(small_folder.path), "--images", str(many)]) in (0, 1)
    told = capsys.readouterr()
    price = folder_calibration(small_folder).price
    assert price is not None
    assert price["photographs"] == 20
    assert folder_calibration(small_folder).images["count"] == 22
    assert set(price["layouts"]) == {"ort", "trt", "ranges"}
    assert "verdict" in told.out
    assert "photographs held back: fp32" in told.err, "a line says what takes the time"


def test_few_photographs_are_looked_at_in_several_positions_and_their_people_counted_once(
    small_folder: ModelFolder, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = calibrate(small_folder, pictures, write=False)
    shapes = {name: seen.shape for name, seen in made.observation.tensors.items()}
    looked: list[int] = []

    def people(judge: Judge, _run: object) -> list[People]:
        looked.append(judge.positions)
        everybody = People(np.tile(np.array([5, 5, 1], np.float32), (3, 18, 1)), np.ones(3, np.float32))
        return [everybody] * (len(judge) * judge.positions)

    monkeypatch.setattr(Judge, "people", people)
    price = priced(small_folder, made.calibration, pictures, shapes).price
    assert price is not None
    assert set(looked) == {4}, "twelve photographs; four positions are all that there are"
    assert price["photographs"] == len(pictures) == 12
    assert price["reference_people"] == price["layouts"]["ort"]["people"] == 36


def test_the_door_measures_the_same_price_as_the_command(small_folder: ModelFolder, many: Path) -> None:
    assert main(["calibrate", str(small_folder.path), "--images", str(many), "--no-sensitivity", "--force"]) == 0
    by_command = small_folder.calibration.read_bytes()
    lines: list[str] = []
    made = posetrt.calibrate(small_folder.path, many, sensitivity=False, say=lines.append)
    assert small_folder.calibration.read_bytes() == by_command
    assert made.calibration.price == folder_calibration(small_folder).price
    assert made.speed["ort"] > 0
    assert "speed" in table(price_from(made.calibration.price or {}), speed=made.speed)
    assert any("photographs held back" in line for line in lines)
    with pytest.raises(UsageError, match="calibrate: "):
        posetrt.calibrate(small_folder.path, many, methods="mse")


def test_fp8_is_made_and_priced_where_it_is_asked_for_and_goes_with_the_next_calibration(small_folder: ModelFolder, many: Path) -> None:
    command = ["calibrate", str(small_folder.path), "--images", str(many), "--no-sensitivity", "--force"]
    assert main([*command, "--fp8"]) == 0
    assert set((folder_calibration(small_folder).price or {})["layouts"]) == {"ort", "trt", "ranges", "fp8"}
    assert small_folder.checked_variant("fp8-trt").is_file()
    assert main(["build", str(small_folder.path), "--precision", "fp8", "--backend", "onnxruntime"]) == 2
    assert main(command) == 0
    assert not small_folder.variant("fp8-trt").exists(), "it was made from the calibration before"


def test_where_float16_cannot_hold_a_float_layer_int8_is_written_and_fp8_is_not(
    small_folder: ModelFolder, many: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise PosetrtError("float16 holds no 1e6")

    monkeypatch.setattr("posetrt.calib.int8.calibrate.half_around_int8", refuse)
    assert main(["calibrate", str(small_folder.path), "--images", str(many), "--no-sensitivity", "--force", "--fp8"]) == 0
    assert "warning: no float8 graph, whose other layers are in float16: float16 holds no 1e6" in capsys.readouterr().err
    assert small_folder.checked_variant("int8-trt").is_file()
    assert not small_folder.variant("fp8-trt").exists()


def test_photographs_that_cannot_be_read_end_no_search(small_folder: ModelFolder, many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here all of the first photographs of the draw; they are left out of it."""
    monkeypatch.setattr("posetrt.calib.sensitivity.judged.AUTOMATIC_FLOORS", ((0.5,),))
    monkeypatch.setattr("posetrt.calib.sensitivity.price.verdict_on", lambda *_args: "costly")
    drawn, _ = hold_back(sorted(many.iterdir()), None, 0)
    for path in sample(drawn, 48, 0)[:4]:
        path.write_bytes(b"no picture")
    judged: list[Path] = []

    def fit(_folder: ModelFolder, made: Calibrated, judge_by: list[Path], **_options: Any) -> Calibration:
        judged.extend(judge_by)
        return made.calibration

    monkeypatch.setattr("posetrt.calib.sensitivity.judged.fit_budget", fit)
    assert main(["calibrate", str(small_folder.path), "--images", str(many)]) == 0
    assert len(judged) == len(drawn) - 4
    assert all(path.read_bytes() != b"no picture" for path in judged)


def test_the_noise_is_read_from_photographs_that_can_be_read(small_folder: ModelFolder, many: Path) -> None:
    images = sorted(many.iterdir())
    made = calibrate(small_folder, images[6:], write=False)
    for path in images[:3]:
        path.write_bytes(b"no picture")
    assert spare_noisiest(small_folder, made, images, ["trt"]).ranges == made.calibration.ranges


def test_who_gives_too_few_for_a_price_and_for_the_layers_is_told_how_many(
    small_folder: ModelFolder, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(small_folder.path), "--images", str(many), "--sensitivity"]) == 0
    assert "of 21 photographs that calibrate none can be held back" in (told := capsys.readouterr().err)
    assert "Give 80, since half of them, up to 48, judge layers" in told
    assert [len(part) for part in hold_back(paths(80)[40:], None, 0)] == [20, 20]


@pytest.mark.parametrize(("oks", "options", "spared"), [(0.92, [], True), (0.96, [], False), (0.92, ["--no-sensitivity"], False)])
def test_a_layout_gets_its_noisiest_layers_in_float_where_it_is_fine_but_not_close_and_that_helps(
    small_folder: ModelFolder,
    many: Path,
    oks: float,
    options: list[str],
    spared: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def people(judge: Judge, _run: object) -> list[People]:
        return [People(np.ones((3, 18, 3), np.float32), np.ones(3, np.float32))] * (len(judge) * judge.positions)

    monkeypatch.setattr(Judge, "people", people)
    monkeypatch.setattr(Judge, "compare", lambda *_args: Agreement(oks, np.ones(1), np.ones(18), 180, 180))
    monkeypatch.setattr("posetrt.calib.sensitivity.budget._gain", lambda *args: 0.02 if args[3] == "trt" else 0.0)
    monkeypatch.setattr("posetrt.calib.sensitivity.budget.LEAST_EIGHT_BIT", 0.5)  # each layer of so small a network is a large share
    assert main(["calibrate", str(small_folder.path), "--images", str(many), "--no-sensitivity", *options]) == 0
    before = folder_calibration(small_folder)
    assert main(["calibrate", str(small_folder.path), "--images", str(many), *options]) == 0
    after = folder_calibration(small_folder)
    assert ("make the most noise" in capsys.readouterr().err) == spared
    assert set(before.kept_float) <= set(after.kept_float)
    assert (len(after.kept_float) > len(before.kept_float)) == spared
    assert after.kept_float_ort == before.kept_float_ort
    assert after.price is not None
    assert after.price["layouts"]["trt"]["eight_bit_share"] >= 0.5


@pytest.mark.parametrize("layout", ["ort", "trt"])
@pytest.mark.parametrize(("gain", "spared"), [(0.02, True), (0.0, False)])
def test_a_layout_keeps_its_noisiest_layers_where_people_agree_more_by_that(
    small_folder: ModelFolder, many: Path, gain: float, spared: bool, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posetrt.calib.sensitivity.budget.LEAST_EIGHT_BIT", 0.2)
    monkeypatch.setattr("posetrt.calib.sensitivity.budget._gain", lambda *_args: gain)
    images = sorted(many.iterdir())
    made = calibrate(small_folder, images, all_int8=True, write=False)
    after = spare_noisiest(small_folder, made, images, [layout])
    own, other = (after.kept_float, after.kept_float_ort)[:: 1 if layout == "trt" else -1]
    assert bool(own) == spared
    assert other == ()


@pytest.mark.parametrize(
    ("first_search", "floors", "budgets"), [(0.91, [0.85], [5]), (0.88, [0.85, 0.6], [5, 1]), (0.85, [0.85, 0.6], [5, 1])]
)
def test_a_search_leaves_more_in_float_only_where_a_layout_is_still_costly_on_photographs_held_back(
    small_folder: ModelFolder, many: Path, first_search: float, floors: list[float], budgets: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second search aims higher: at .95, which the first reached where it chose, and at what was missing from .92 where it was held back."""
    searched: list[float] = []
    allowed: list[float] = []

    def fit(_folder: ModelFolder, made: Calibrated, _judge_by: object, **options: Any) -> Calibration:
        searched.append(options["least_eight_bit"][-1])
        allowed.append(options["budget"])
        assert options["layouts"] == ["ort", "trt"]
        return made.calibration

    def people(judge: Judge, _run: object) -> list[People]:
        return [People(np.ones((3, 18, 3), np.float32), np.ones(3, np.float32))] * (len(judge) * judge.positions)

    def compare(*_args: object) -> Agreement:
        return Agreement(first_search if searched else 0.85, np.ones(1), np.ones(18), 180, 180)

    monkeypatch.setattr("posetrt.calib.sensitivity.judged.fit_budget", fit)
    monkeypatch.setattr(Judge, "people", people)
    monkeypatch.setattr(Judge, "compare", compare)
    assert main(["calibrate", str(small_folder.path), "--images", str(many)]) == 0
    assert searched == floors
    assert allowed == pytest.approx(budgets)


@pytest.mark.parametrize(("force", "code"), [([], 1), (["--force"], 0)])
def test_an_unusable_layout_ends_with_1_and_leaves_the_files_to_whoever_insists(
    small_folder: ModelFolder, many: Path, force: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posetrt.calib.sensitivity.price.verdict_on", lambda *_args: "unusable")
    assert main(["calibrate", str(small_folder.path), "--images", str(many), *force]) == code
    assert small_folder.checked_variant("int8-ort").is_file()


def test_build_and_doctor_repeat_the_verdict(small_folder: ModelFolder, pictures: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    made = calibrate(small_folder, pictures)
    write_variants(small_folder, replace(made.calibration, price=priced_at(ort=0.61, trt=0.31).to_dict()))
    assert main(["build", str(small_folder.path), "--precision", "int8", "--backend", "onnxruntime"]) == 0
    assert "int8: costly (OKS agreement with fp32 0.610" in capsys.readouterr().err
    main(["doctor", str(small_folder.path)])
    told = capsys.readouterr().out
    assert "costly" in told
    assert "unusable" in told
    assert "--sensitivity" in told
