"""BLEU by length of the source, several models in one picture.

python recipes/translation/by_length.py OUT.png "with attention=runs/.../report.json" "without=other/.../report.json"
"""

import json
import pathlib
import sys

from zoo import plots


def main(out: str, *reports: str) -> None:
    curves = {}
    for report in reports:
        name, _, path = report.partition("=")
        curves[name] = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["report"]["by_length"]
    print("written:", plots.by_length(curves, pathlib.Path(out)))


if __name__ == "__main__":
    main(*sys.argv[1:])
