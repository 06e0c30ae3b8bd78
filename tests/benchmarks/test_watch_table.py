"""What is made of the result of watching."""

from pathlib import Path
from typing import Any

import watch_table


def clips(share: float, ratio: float) -> dict[str, Any]:
    still = {"frames": 3000, "share_recognised": share, "ratio": 0.2}
    moving = {"frames": 900, "share_recognised": 1.0, "ratio": ratio}
    changes = {"changes": 11, "answered_in_time": 10, "seconds": []}
    return {"changes": changes, "clips": {"still": still, "moving": moving}}


RESULT = {
    "96 px": clips(0.02, 1.03),
    "224 px": clips(0.034, 0.99),
    "soak": {"frames": 100_000, "recognised": 9, "process_bytes": [100_000_000, 101_000_000]},
    "threads": 2,
}


def test_tables_and_words(tmp_path: Path) -> None:
    table, soak = watch_table.parts(RESULT)
    assert "| 96 px, still | 3,000 | 2.0 % | 10 of 11 | 20 % |" in table
    assert "| 224 px, moving | 900 | 100.0 % | – | 99 % |" in table
    assert "100 MB after a tenth of 100,000 frames" in soak and "101 MB after all" in soak
    assert watch_table.words(RESULT) == [
        "3.4 % of the frames recognised",
        "20 of 22 changes answered within 0.5 s",
        "99 to 103 % of the time without the gate",
    ]
    assert watch_table.parts(watch_table.read(tmp_path / "none.json")) == ["Not run here."]
