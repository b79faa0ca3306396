"""MPII: PCKh@0.5 of the release's .mat and of the common JSON, against numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.io import savemat

from posetrt.calib.datasets.choose import open_dataset
from posetrt.cli import main
from posetrt.runtime.errors import PosetrtError
from posetrt.runtime.model.skeleton import load_skeleton
from tests.calib.datasets.miniature import cells, people_of, photographs, structs

COCO18, MPI15 = load_skeleton("coco18"), load_skeleton("mpi15")
R_ANKLE, PELVIS, THORAX, HEAD_TOP, R_WRIST, L_WRIST = 0, 6, 7, 9, 10, 15
# A rectangle of 30x40 px: its diagonal is 50 px, the head's size 0.6 of it, 30 px, and half of that, 15 px, is near enough.
HEAD = {"x1": 10.0, "y1": 10.0, "x2": 40.0, "y2": 50.0}


def person(place: tuple[float, float], points: dict[int, tuple[float, float]], scale: float = 1.0, **others: Any) -> dict[str, Any]:
    """An annorect; MATLAB's coordinates begin at 1."""
    point = structs(*({"x": x + 1, "y": y + 1, "id": part, "is_visible": 1} for part, (x, y) in points.items()))
    return {
        **HEAD,
        "annopoints": structs({"point": point}),
        "scale": scale,
        "objpos": structs({"x": place[0] + 1, "y": place[1] + 1}),
        **others,
    }


def release(path: Path, *images: tuple[str, Any], single: Any = None) -> Path:
    annolist = structs(*({"image": structs({"name": name}), "annorect": rects} for name, rects in images))
    fields = {"annolist": annolist, "img_train": np.ones((1, len(images)))}
    if single is not None:
        fields["single_person"] = cells(*single)
    savemat(str(path), {"RELEASE": structs(fields)})
    return path


@pytest.fixture
def mat(tmp_path: Path) -> Path:
    """Two photographs with annotated people, one of a third person who stands in a crowd, and one without annotation, as in the test set."""
    alone = person((100, 100), {R_WRIST: (100, 100), L_WRIST: (140, 100), R_ANKLE: (120, 180), THORAX: (120, 60), HEAD_TOP: (120, 20)})
    crowd = person((300, 100), {R_WRIST: (300, 100)})
    other = person((50, 60), {R_WRIST: (50, 50), PELVIS: (50, 70)})
    return release(
        tmp_path / "mpii.mat",
        ("a.jpg", structs(alone, crowd)),
        ("b.jpg", structs(other)),
        ("hidden.jpg", structs({"scale": 1.0, "objpos": structs({"x": 5, "y": 5})})),
        single=([1.0], [1.0], [1.0]),
    )


def test_pckh_is_that_worked_out_by_hand(mat: Path, tmp_path: Path) -> None:
    photos = open_dataset(mat, photographs(tmp_path / "images", "a.jpg", "b.jpg"))
    assert [path.name for path in photos.photographs] == ["a.jpg", "b.jpg"]
    # a: the wrist 15 px away is found, the other 15.5 px away is not, the ankle is not there; a wrong person stands 400 px away.
    near = {"RWrist": (100, 115), "LWrist": (140, 115.5), "Neck": (120, 60)}
    far = {"RWrist": (500, 100), "LWrist": (540, 100), "RAnkle": (520, 180)}
    # b: one of one; the pelvis does not count.
    judged = photos.judge([people_of(COCO18, far, near), people_of(COCO18, {"RWrist": (59, 62)})], COCO18)
    # b's wrist is hypot(9, 12) = 15 px away. Counted: a's wrists and ankle, b's wrist: 2 of 4. The thorax never counts, the head is not COCO's.
    assert judged.figures["pckh"] == 2 / 4
    assert judged.figures["wrist"] == (2 / 2 + 0 / 1) / 2
    assert judged.figures["ankle"] == 0
    assert judged.figures["head"] is None
    assert judged.figures["elbow"] is None
    assert list(judged.left_out) == ["upper_neck", "head_top"]
    assert judged.main(np.array([1, 1, 0])) == (1 + 1 + 1) / (1 + 1 + 3)


def test_one_person_networks_get_a_box_of_the_persons_height_about_the_place(mat: Path, tmp_path: Path) -> None:
    photos = open_dataset(mat, photographs(tmp_path / "images", "a.jpg", "b.jpg"))
    # MPII's scale 1 is a person of 200 px; the place is at 100, 100, the middle of a pixel. The one in the crowd is not judged.
    assert [None if one is None else one.tolist() for one in photos.boxes] == [[[0.5, 0.5, 200, 200]], [[-49.5, -39.5, 200, 200]]]


def test_the_head_counts_for_a_network_that_has_it(mat: Path, tmp_path: Path) -> None:
    photos = open_dataset(mat, photographs(tmp_path / "images", "a.jpg", "b.jpg"))
    judged = photos.judge([people_of(MPI15, {"Head": (120, 20), "RWrist": (100, 100)}), people_of(MPI15)], MPI15)
    assert judged.figures["head"] == 1
    assert judged.figures["pckh"] == 2 / 5
    assert list(judged.left_out) == []


def test_nobody_near_the_place_is_nobody_found(mat: Path, tmp_path: Path) -> None:
    photos = open_dataset(mat, photographs(tmp_path / "images", "a.jpg", "b.jpg"), limit=1)
    assert len(photos.photographs) == 1
    # Right wrist and ankle where they should be, but of somebody whose box stands more than 100 px away.
    stretched = {"RWrist": (100, 100), "RAnkle": (120, 180), "RElbow": (700, 100)}
    assert photos.judge([people_of(COCO18, stretched)], COCO18).figures["pckh"] == 0


def test_the_common_json_gives_the_same_figures(mat: Path, tmp_path: Path) -> None:
    images = photographs(tmp_path / "images", "a.jpg", "b.jpg")
    entries = [
        {"image": "a.jpg", "center": [101, 101], "scale": 1.0, "joints": [[0, 0]] * 16, "joints_vis": [0] * 16},
        {"image": "b.jpg", "center": [51, 61], "scale": 1.0, "joints": [[0, 0]] * 16, "joints_vis": [0] * 16},
    ]
    (tmp_path / "valid.json").write_text(json.dumps(entries))
    with pytest.raises(PosetrtError, match=r"put gt_valid\.mat"):
        open_dataset(tmp_path / "valid.json", images)
    missing, positions = np.ones((16, 2)), np.zeros((16, 2, 2))
    for part, image, spot in ((R_WRIST, 0, (100, 100)), (L_WRIST, 0, (140, 100)), (R_ANKLE, 0, (120, 180)), (R_WRIST, 1, (50, 50))):
        missing[part, image], positions[part, :, image] = 0, np.array(spot) + 1
    heads = np.zeros((2, 2, 2))
    heads[0], heads[1] = [[10, 10], [10, 10]], [[40, 40], [50, 50]]
    savemat(str(tmp_path / "gt_valid.mat"), {"headboxes_src": heads, "jnt_missing": missing, "pos_gt_src": positions})
    found = [people_of(COCO18, {"RWrist": (100, 115), "LWrist": (140, 115.5)}), people_of(COCO18, {"RWrist": (59, 62)})]
    of_json, of_mat = (open_dataset(path, images).judge(found, COCO18).figures for path in (tmp_path / "valid.json", mat))
    assert of_json == of_mat
    assert of_json["pckh"] == 2 / 4
    (tmp_path / "valid.json").write_text(json.dumps(entries[:1]))
    with pytest.raises(PosetrtError, match=r"of 2 people and valid\.json of 1"):
        open_dataset(tmp_path / "valid.json", images)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    images = photographs(tmp_path / "images", "a.jpg")
    no_head = person((5, 5), {R_WRIST: (5, 5)})
    for side in ("x1", "y1", "x2", "y2"):
        del no_head[side]
    with pytest.raises(PosetrtError, match=r"annolist\(1\).annorect\(1\) has annotated parts but no rectangle"):
        open_dataset(release(tmp_path / "a.mat", ("a.jpg", structs(no_head))), images)
    with pytest.raises(PosetrtError, match="keeps those of its test photographs back"):
        open_dataset(release(tmp_path / "b.mat", ("a.jpg", structs({"scale": 1.0}))), images)
    with pytest.raises(PosetrtError, match=r"lacks 1 of the 1 photographs .* gone.jpg"):
        open_dataset(release(tmp_path / "c.mat", ("gone.jpg", structs(person((5, 5), {R_WRIST: (5, 5)})))), images)
    savemat(str(tmp_path / "d.mat"), {"RELEASE": structs({"act": 1})})
    with pytest.raises(PosetrtError, match=r"no annolist.*act"):
        open_dataset(tmp_path / "d.mat", images)


def bright_spot_network(path: Path) -> Path:
    """Heat maps of 14 parts that are the picture's brightness, a cell 8 px: the brightest spot of a crop is every part."""
    weights = numpy_helper.from_array(np.full((14, 3, 8, 8), 1 / (3 * 64 * 255), np.float32), "w")
    node = helper.make_node("Conv", ["image", "w"], ["maps"], strides=[8, 8])
    picture = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])
    maps = helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 14, "h", "w"])
    graph = helper.make_graph([node], "bright", [picture], [maps], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize("scales", [[], ["--scales", "1,1.5"]])
def test_a_one_person_network_is_judged_in_each_persons_box(tmp_path: Path, capsys: pytest.CaptureFixture[str], scales: list[str]) -> None:
    picture = np.zeros((400, 700, 3), np.uint8)
    spots = [(180, 200), (520, 230), (560, 60)]
    for x, y in spots:
        cv2.circle(picture, (x, y), 12, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    # The wrists of the first two are their boxes' bright spots; that of the third is not where it is annotated.
    people = [
        person((190, 190), {R_WRIST: spots[0]}),
        person((510, 210), {R_WRIST: spots[1]}),
        person((600, 60), {R_WRIST: (600, 60)}, scale=0.5),
    ]
    mat = release(tmp_path / "mpii.mat", ("a.png", structs(*people)))
    network = bright_spot_network(tmp_path / "bright.onnx")
    export = ["export", "onnx", "--weights", str(network), "--input-size", "128x128", "--normalise", "in-graph", "--skeleton", "mpi14"]
    assert main([*export, "-o", str(tmp_path / "bright")]) == 0
    capsys.readouterr()
    command = ["eval", str(tmp_path / "bright" / "model.onnx"), "--annotations", str(mat), "--images", str(tmp_path), "--json", *scales]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "looks at one person: judged in the boxes that MPII gives" in said.err
    row = json.loads(said.out)["fp32"]
    assert (row["pckh"], row["wrist"], row["people"]) == (2 / 3, 2 / 3, 3)
