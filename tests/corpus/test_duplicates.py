from __future__ import annotations

import shutil
import sysconfig
from itertools import combinations
from pathlib import Path

from repotune.corpus.duplicates import normal_digest
from repotune.corpus.shingles import jaccard, shingles

ENCODINGS = Path(sysconfig.get_paths()["stdlib"]) / "encodings"


def test_line_ends_and_trailing_white_space_do_not_make_a_difference():
    assert normal_digest(b"a\r\n\tb  \r\n\r\n") == normal_digest(b"a\n\tb")
    assert normal_digest(b"a b") != normal_digest(b"a  b")
    assert normal_digest(b"  a") != normal_digest(b"a")


def test_on_real_files_no_kept_pair_is_alike_and_every_dropped_file_is_like_the_one_it_names(build):
    corpus = build(ENCODINGS, near_duplicates=0.7)
    hashes = {path.name: shingles([path.read_bytes()])[0][0] for path in ENCODINGS.glob("*.py")}
    pairs = list(combinations(corpus.kept, 2))
    assert max(jaccard(hashes[a], hashes[b], 0.0) for a, b in pairs) < 0.7
    dropped = {path: row["value"] for path, row in corpus.dropped.items() if row["rule"] == "near_duplicate"}
    assert len(dropped) > 15
    assert all(jaccard(hashes[path], hashes[kept.split("/")[1]], 0.0) >= 0.7 for path, kept in dropped.items())
    assert {kept.split("/")[1] for kept in dropped.values()} <= set(corpus.kept)


def test_what_stays_does_not_depend_on_how_files_are_spread_over_batches(build, tmp_path):
    alone = build(ENCODINGS, name="alone")
    many = tmp_path / "encodings"
    shutil.copytree(ENCODINGS, many, ignore=shutil.ignore_patterns("__pycache__"))
    for number in range(300):  # pushes the others into another batch
        (many / f"aa{number}.py").write_text(f"x{number} = y{number} + {number}\n")
    assert set(alone.kept) == {path for path in build(many, name="many").kept if not path.startswith("aa")}


def test_a_known_licence_stays_before_a_newer_commit_before_a_shorter_path(build, write, repository, module, tmp_path):
    repository.commit({"shared_by_all.py": module(1), "dated_only.py": module(2)}, "2024-01-01T00:00:00Z")
    licensed = {"LICENSE": "Boost Software License - Version 1.0 - August 17th, 2003"}
    write(tmp_path / "licensed", licensed | {"far/away/shared_by_all.py": module(1) + "\n\n"})
    write(tmp_path / "plain", {"s.py": module(1), "d.py": module(2), "three/x.py": module(3), "x.py": module(3)})
    corpus = build(repository.folder, tmp_path / "licensed", tmp_path / "plain")
    assert set(corpus.kept) == {"far/away/shared_by_all.py", "dated_only.py", "x.py"}
    assert corpus.dropped["s.py"]["value"] == "licensed/far/away/shared_by_all.py"
    assert corpus.dropped["three/x.py"]["value"] == "plain/x.py"


def test_what_repeats_a_near_duplicate_names_the_file_that_is_kept(build, write, module, tmp_path):
    base = module(1, 40)
    files = {"a.py": base, "near1.py": base + "more = 1\n", "near2/copy.py": base + "more = 1\n"}
    write(tmp_path / "api", files | {"b.py": module(2), "c.py": module(3)})
    corpus = build(tmp_path / "api")
    told = {path: (row["rule"], row["value"]) for path, row in corpus.dropped.items()}
    assert told == {"near1.py": ("near_duplicate", "api/a.py"), "near2/copy.py": ("exact_duplicate", "api/a.py")}


def test_files_shorter_than_a_shingle_are_compared_by_their_text_alone(build, write, tmp_path):
    write(
        tmp_path / "api", {"a.py": "one = two\n", "b.py": "two = one\n", "c.py": "three = one\n", "d.py": "one = two"}
    )
    corpus = build(tmp_path / "api")
    assert set(corpus.kept) == {"a.py", "b.py", "c.py"} and corpus.dropped["d.py"]["rule"] == "exact_duplicate"


def test_files_of_one_template_do_not_make_all_pairs(build, write, tmp_path, monkeypatch):
    compared = []

    def counted(a, b, threshold):
        compared.append(threshold)
        return jaccard(a, b, threshold)

    monkeypatch.setattr("repotune.corpus.duplicates.jaccard", counted)
    monkeypatch.setattr("repotune.corpus.duplicates._MOST_COMPARED", 4)
    template = "\n".join(f"from package{number} import name{number}, other{number}" for number in range(30))
    files = {
        f"t{number}.py": template
        + "".join(f"\nvalue{number}_{line} = call(one{number}, two{line})" for line in range(25))
        for number in range(600)
    }
    write(tmp_path / "api", files)
    corpus = build(tmp_path / "api")
    assert len(corpus.kept) == 600
    assert 600 < len(compared) < 600 * 599 / 2 / 10
