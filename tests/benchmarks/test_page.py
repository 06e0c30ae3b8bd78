"""The table of the page's numbers is made of its result, and of nothing else."""

import page
from result_rows import Row


def result(block_ms: float) -> Row:
    taught = {
        "teach_s": 95.4,
        "longest_block_ms": block_ms,
        "usual_bytes": 250e6,
        "most_bytes": 410e6,
    }
    return {
        "page": {
            "ready_ms": 510.0,
            "first_load_bytes": 29_500_000,
            "taught": taught,
            "large": {"usual_bytes": 340.4e6, "most_bytes": 460e6},
            "accuracy": 0.978,
            "try_ms": 26.0,
        },
        "shell": {"learn_s": 25.9, "accuracy": 0.98},
        "server": {"process_bytes": 190_000_000},
        "images": {"classes": 10, "of_each": 20, "test": 500},
        "image_px": 96,
        "large_px": 224,
    }


def test_each_number_stands_beside_its_limit() -> None:
    found = page.table(result(60.2)).splitlines()
    assert "| page ready, its files kept | 0.5 s | 2 s |" in found
    assert "| first load | 29.5 MB | 30 MB |" in found
    assert "| 10 digits, 20 images each, 96 px: taught | 95 s | 120 s |" in found
    assert "| accuracy on 500 test images | 97.8 % | the shell's 98.0 % less 1.5 |" in found
    assert "| longest block of the main thread meanwhile | 60 ms | 100 ms |" in found
    assert (
        "| memory of the tab, teaching at 224 px | 340 MB, at its most 460 MB | 400 MB |" in found
    )
    assert "| below 50 ms |" in page.table(result(0))


def test_the_page_shows_the_result() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert f"<!-- {page.MARK} -->\n{page.table(page.read())}\n<!-- end -->" in text
    assert text == page.filled(text), "run: python benchmarks/page.py table"
