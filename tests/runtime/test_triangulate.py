"""Points in space from several cameras: against OpenCV's triangulation, and against people drawn in front of drawn cameras."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from posetrt.calib.scenes.drawn import draw_figures
from posetrt.cli import main
from posetrt.runtime.errors import UsageError
from posetrt.runtime.model.skeleton import load_skeleton
from posetrt.runtime.people import People, to_openpose
from posetrt.runtime.triangulate import triangulate

BODY25 = load_skeleton("body25")
LENS = np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]])
HEIGHT = 1.75


def camera(angle: float, distance: float = 4.0, height: float = 1.4) -> np.ndarray:
    """(3, 4): a camera on a circle about the origin, in metres, looking at the middle of a person; y points down in its image."""
    place = np.array([distance * np.sin(angle), distance * np.cos(angle), height])
    forward = np.array([0, 0, HEIGHT / 2]) - place
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return LENS @ np.concatenate([rotation, -rotation @ place[:, None]], axis=1)


def person(random: np.random.Generator) -> np.ndarray:
    """(25, 3): a drawn figure of 1.75 m, with some depth to it."""
    flat = draw_figures(1, BODY25, (400, 400), random, hidden=0)[0, :, :2]
    flat = (flat - flat.min(axis=0)) / np.ptp(flat[:, 1]) * HEIGHT
    return np.stack([flat[:, 0] - flat[:, 0].mean(), random.normal(0, 0.15, len(flat)), HEIGHT - flat[:, 1]], axis=1)


def seen(points: np.ndarray, cameras: np.ndarray, random: np.random.Generator, noise: float = 0.0) -> np.ndarray:
    """(V, K, 3)."""
    flat = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ cameras.transpose(0, 2, 1)
    pixels = flat[..., :2] / flat[..., 2:] + random.normal(0, noise, (*flat.shape[:2], 2))
    return np.concatenate([pixels, np.full((*flat.shape[:2], 1), 0.8)], axis=2)


FOUR = np.stack([camera(angle) for angle in (0.2, 1.5, 3.0, 4.6)])


def test_two_views_agree_with_opencv() -> None:
    random = np.random.default_rng(0)
    points = person(random)
    for noise, limit in ((0.0, 1e-9), (1.0, 2e-3)):
        views = seen(points, FOUR[:2], random, noise)
        homogeneous = cv2.triangulatePoints(FOUR[0], FOUR[1], views[0, :, :2].T, views[1, :, :2].T)
        reference = (homogeneous[:3] / homogeneous[3]).T
        found = triangulate(views, FOUR[:2])
        # Where the views differ OpenCV minimises another residual, by less than the noise moves either.
        assert np.abs(found.points - reference).max() < limit
        assert np.allclose(found.scores, 0.8)


def test_four_cameras_with_a_pixel_of_noise_find_a_person_to_a_hundredth_of_the_height() -> None:
    random = np.random.default_rng(1)
    away, errors = [], []
    for _ in range(40):
        points = person(random)
        found = triangulate(seen(points, FOUR, random, 1.0), FOUR)
        assert found.used.all()
        away.append(np.linalg.norm(found.points - points, axis=1))
        errors.append(found.errors)
    assert np.median(away) < 0.01 * HEIGHT
    # 8 numbers, 3 of them spent on the point: the residual of 1 px noise in x and in y is √(2 · 5/8).
    assert np.median(errors) == pytest.approx(np.sqrt(2 * 5 / 8), rel=0.1)


@pytest.mark.parametrize("wrong", range(4))
def test_one_wrong_view_is_left_out(wrong: int) -> None:
    random = np.random.default_rng(2 + wrong)
    points = person(random)
    views = seen(points, FOUR, random, 1.0)
    views[wrong, :, :2] += np.array([90, 60])
    views[wrong, :, 2] = 1.0
    found = triangulate(views, FOUR)
    assert not found.used[wrong].any()
    assert np.delete(found.used, wrong, axis=0).all()
    assert np.median(np.linalg.norm(found.points - points, axis=1)) < 0.01 * HEIGHT
    kept = triangulate(views, FOUR, reject=False)
    assert kept.used.all()
    assert np.median(np.linalg.norm(kept.points - points, axis=1)) > 0.03 * HEIGHT


def test_a_part_that_a_view_has_not_is_found_from_the_others_and_one_seen_once_is_not_found() -> None:
    random = np.random.default_rng(7)
    points = person(random)
    views = seen(points, FOUR, random, 0.5)
    views[0, :5] = 0
    views[1:, 6] = 0
    found = triangulate(views, FOUR)
    assert not found.used[0, :5].any()
    assert np.linalg.norm(found.points - points, axis=1)[:5].max() < 0.02
    assert (found.points[6] == 0).all()
    assert found.scores[6] == 0
    assert np.isnan(found.errors[6])


def test_a_surer_view_counts_for_more() -> None:
    random = np.random.default_rng(3)
    points = person(random)
    views = seen(points, FOUR, random)
    views[3, :, :2] += 8
    plain = np.linalg.norm(triangulate(views, FOUR).points - points, axis=1)
    views[3, :, 2] = 0.1
    assert (np.linalg.norm(triangulate(views, FOUR).points - points, axis=1) < 0.2 * plain).all()


def test_the_worlds_origin_units_and_a_matrixs_scale_do_not_matter() -> None:
    random = np.random.default_rng(4)
    views = seen(person(random), FOUR, random, 1.0)
    plain = triangulate(views, FOUR)
    # The same cameras in millimetres, in a world whose origin is 500 km away; each matrix times a number of its own, one negative.
    origin, unit = np.array([5e8, -3e8, 1e5]), 1000.0
    to_old = np.eye(4)
    to_old[:3, :3] /= unit
    to_old[:3, 3] = -origin / unit
    moved = triangulate(views, FOUR @ to_old * np.array([1, -3, 1e-3, 50])[:, None, None])
    assert np.abs((moved.points - origin) / unit - plain.points).max() < 1e-5
    assert np.allclose(moved.errors, plain.errors, atol=1e-3)


def test_a_point_behind_a_camera_is_not_found() -> None:
    points = np.array([[0.0, 9.0, 1.0]])
    cameras = np.stack([camera(-0.2), camera(0.2)])
    views = seen(points, cameras, np.random.default_rng(0))
    assert triangulate(views, cameras).scores[0] == 0


@pytest.mark.parametrize(
    ("keypoints", "cameras", "message"),
    [
        (np.zeros((4, 25, 2)), FOUR, r"\(V, K, 3\).*\(4, 25, 2\)"),
        (np.zeros((4, 25, 3)), FOUR[:, :, :3], r"\(V, 3, 4\).*\(4, 3, 3\)"),
        (np.zeros((3, 25, 3)), FOUR, "3 views came with 4 camera matrices"),
        (np.zeros((1, 25, 3)), FOUR[:1], "two views or more; got 1"),
        (np.full((4, 25, 3), np.nan), FOUR, "finite"),
        (np.zeros((4, 25, 3)), np.stack([*FOUR[:3], np.ones((3, 4))]), "camera 3 is no matrix"),
        (np.zeros((2, 25, 3)), np.stack([FOUR[0], 2 * FOUR[0]]), "all cameras stand in one place"),
    ],
)
def test_cameras_that_do_not_agree_are_refused(keypoints: np.ndarray, cameras: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        triangulate(keypoints, cameras)


def write_views(folder: Path, views: np.ndarray) -> list[str]:
    """A folder a view, three frames each, in OpenPose's format."""
    names = []
    for number, view in enumerate(views):
        where = folder / f"view{number}"
        where.mkdir()
        for frame in range(3):
            record = to_openpose(People(view[None].astype(np.float32), np.ones(1, np.float32)))
            (where / f"clip_{frame:012}_keypoints.json").write_text(json.dumps(record))
        names.append(str(where))
    return names


def test_the_command_fills_openposes_field_and_tells_who_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(9)
    points = person(random)
    views = seen(points, FOUR, random, 1.0)
    views[2, :, :2] += 120
    names = write_views(tmp_path, views)
    (tmp_path / "cameras.json").write_text(json.dumps(FOUR.tolist()))
    assert main(["triangulate", str(tmp_path / "cameras.json"), *names, "-o", str(tmp_path / "space"), "--json"]) == 0
    said = capsys.readouterr()
    assert f"{names[2]} disagrees with the others on most of its key points" in said.err
    assert said.err.count("disagrees") == 1
    summary = json.loads(said.out)
    assert [view["left_out"] for view in summary["views"]] == [0, 0, 75, 0]
    assert (summary["frames"], summary["points"]) == (3, 75)
    written = json.loads((tmp_path / "space" / "clip_000000000001_keypoints.json").read_text())["people"][0]
    space = np.array(written["pose_keypoints_3d"]).reshape(25, 4)
    assert np.median(np.linalg.norm(space[:, :3] - points, axis=1)) < 0.01 * HEIGHT
    assert len(written["pose_keypoints_2d"]) == 75


def test_the_command_refuses_cameras_of_other_views(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(9)
    names = write_views(tmp_path, seen(person(random), FOUR, random))
    cameras = tmp_path / "cameras.json"
    for fields, code, message in (
        (FOUR[:3].tolist(), 2, "has 3 cameras, and 4 views were given"),
        ([[1, 2], [3]], 2, "a list of 3x4 matrices"),
        (np.stack([camera(angle, distance=2.0) for angle in (0.9, 0.1, 5.2, 2.2)]).tolist(), 0, "the views disagree on most points"),
    ):
        cameras.write_text(json.dumps(fields))
        assert main(["triangulate", str(cameras), *names, "-o", str(tmp_path / "space"), "--max-error", "4"]) == code
        assert message in capsys.readouterr().err


def walk(tmp_path: Path, moments: int = 12, step: float = 0.15) -> tuple[list[str], list[str], np.ndarray]:
    """Arguments, the folders of two views of somebody who walks and nods, and the truth, (moments, 25, 3)."""
    random = np.random.default_rng(4)
    cameras = np.stack([camera(0.2), camera(1.1)])
    still = person(random)
    truth = np.stack([still + np.array([step * moment, 0, 0.1 * np.sin(1.7 * moment)]) for moment in range(moments)])
    names = [str(tmp_path / f"view{number}") for number in range(2)]
    for moment, points in enumerate(truth):
        for name, view in zip(names, seen(points, cameras, random), strict=True):
            Path(name).mkdir(exist_ok=True)
            record = to_openpose(People(view[None].astype(np.float32), np.ones(1, np.float32)))
            (Path(name) / f"clip_{moment:012}_keypoints.json").write_text(json.dumps(record))
    (tmp_path / "cameras.json").write_text(json.dumps(cameras.tolist()))
    return ["triangulate", str(tmp_path / "cameras.json"), *names, "-o", str(tmp_path / "space")], names, truth


def points_of(path: Path) -> np.ndarray:
    return np.array(json.loads(path.read_text())["people"][0]["pose_keypoints_3d"]).reshape(-1, 4)


def test_frames_are_paired_by_their_number_and_those_that_a_view_lacks_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, (first, second), truth = walk(tmp_path)
    (Path(first) / "clip_000000000005_keypoints.json").unlink()
    (Path(second) / "clip_000000000002_keypoints.json").unlink()
    assert main([*arguments, "--json"]) == 0
    said = capsys.readouterr()
    assert f"since {first} lacks them: frames 5" in said.err
    assert f"since {second} lacks them: frames 2" in said.err
    assert json.loads(said.out)["left_out"] == {"2": [second], "5": [first]}
    written = sorted((tmp_path / "space").iterdir())
    assert len(written) == 10
    for path in written:
        assert np.abs(points_of(path)[:, :3] - truth[int(path.name.split("_")[1])]).max() < 0.01


def test_a_second_run_into_the_same_folder_is_refused_and_overwrite_leaves_none_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, (first, _), _ = walk(tmp_path, 4)
    assert main(arguments) == 0
    (Path(first) / "clip_000000000003_keypoints.json").unlink()
    assert main(arguments) == 2
    assert "holds 4 *_keypoints.json of an earlier run" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    assert len(list((tmp_path / "space").iterdir())) == 3


def test_a_view_whose_frames_are_of_other_moments_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, (first, second), _ = walk(tmp_path, 20)
    for path in sorted(Path(second).iterdir(), reverse=True):
        path.rename(path.with_name(f"clip_{int(path.name.split('_')[1]) + 2:012}_keypoints.json"))
    main(arguments)
    assert f"{second} agrees better with {first} when it is taken 2 frames later" in capsys.readouterr().err


def test_two_files_of_one_number_and_views_without_a_common_frame_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, (_, second), _ = walk(tmp_path, 2)
    doubled = Path(second) / "other_1_keypoints.json"
    doubled.write_text("{}")
    assert main(arguments) == 2
    assert "two files of frame 1: clip_000000000001_keypoints.json and other_1_keypoints.json" in capsys.readouterr().err
    doubled.unlink()
    for path in list(Path(second).iterdir()):
        path.rename(path.with_name(path.name.replace("clip_", "clip_1")))
    assert main(arguments) == 2
    assert "no frame in common" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "said"),
    [(float("nan"), "1 key points are no numbers"), (float("inf"), "1 key points are no numbers"), ("12", "list of numbers, and holds '12'"),
     (None, "list of numbers, and holds None"), (1e9, "is no x, y in pixels")],
)  # fmt: skip
def test_a_value_that_is_no_number_costs_its_point_alone_or_is_an_error_that_names_the_file(
    value: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, (_, second), truth = walk(tmp_path, 3)
    path = Path(second) / "clip_000000000001_keypoints.json"
    record = json.loads(path.read_text())
    record["people"][0]["pose_keypoints_2d"][0] = value
    record["people"][0]["face_keypoints_2d"] = [float("nan")]
    path.write_text(json.dumps(record))
    code, err = main(arguments), capsys.readouterr().err
    assert said in err
    if code == 0:
        points = points_of(tmp_path / "space" / path.name)
        assert points[0, 3] == 0
        assert np.abs(points[1:, :3] - truth[1, 1:]).max() < 0.01
    else:
        assert code == 1
        assert path.name in err
