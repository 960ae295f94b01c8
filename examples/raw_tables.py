"""Write raw tables with strings and gaps for the commands of the README: python examples/raw_tables.py data

- data/movielens/train.csv and test.csv: 100,004 ratings, the latest 10,000 to test on; `liked` means at least 4 stars.
- data/criteo_like/train.csv and test.csv: made-up rows shaped like Criteo's, 13 integers and 26 hexadecimal strings.
- data/criteo/train/day_0.tsv, day_1.tsv and test/day_2.tsv: the same rows in Criteo's format, without a line of names.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

from deepctr_torch.datasets import load_movielens, make_criteo_like

TEST = 0.1


def movielens() -> pl.DataFrame:
    """Return the ratings in the order of time, with the label `liked`."""
    year, liked = pl.col("year").replace(0, None), pl.col("rating") >= 4
    return load_movielens().select("user_id", "movie_id", year, "genres", "timestamp", liked=liked.cast(pl.Int8))


def criteo_like(rows: int, vocabulary: int = 20_000) -> pl.DataFrame:
    """Return rows like those that Criteo publishes: counts, hexadecimal strings, a tenth of the fields empty."""
    data = make_criteo_like(rows, vocabulary)
    rng = np.random.default_rng(0)
    columns: dict[str, pl.Series] = {"label": pl.Series(data.y.astype(np.int64))}
    for number, (name, values) in enumerate(data.x.items()):
        if name.startswith("I"):
            column = pl.Series(np.expm1(2 + values).round().astype(np.int64))
        else:
            column = pl.Series([f"{(int(v) * 2654435761 + number) % 2**32:08x}" for v in values])
        columns[name] = column.scatter(np.flatnonzero(rng.random(rows) < 0.1), None)
    return pl.DataFrame(columns)


def write(folder: Path, frame: pl.DataFrame) -> None:
    """Write `train.csv` and `test.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    cut = frame.height - round(TEST * frame.height)
    frame[:cut].write_csv(folder / "train.csv")
    frame[cut:].write_csv(folder / "test.csv")


def write_criteo(folder: Path, frame: pl.DataFrame) -> None:
    """Write two files to train on and one to test on in Criteo's format."""
    cut = frame.height - round(TEST * frame.height)
    parts = {"train/day_0": frame[: cut // 2], "train/day_1": frame[cut // 2 : cut], "test/day_2": frame[cut:]}
    for name, part in parts.items():
        path = folder / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_csv(path, separator="\t", include_header=False)


def main(target: Path, rows: int) -> None:
    frame = criteo_like(rows)
    write(target / "movielens", movielens())
    write(target / "criteo_like", frame)
    write_criteo(target / "criteo", frame)
    print(f"wrote {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"), int(sys.argv[2]) if len(sys.argv) > 2 else 50_000)
