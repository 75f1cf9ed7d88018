"""CoNLL files: schemes found out and unified, splits found by name, and faults named with file and line."""

import pytest

from zoo import conll
from zoo.errors import ZooError

# One sentence in every scheme: two persons side by side, a place of one token, an organisation of three.
WORDS = ["Ana", "Silva", "Bruno", "Costa", "left", "Porto", "for", "Bank", "of", "Lisbon"]
IOB2 = ["B-PER", "I-PER", "B-PER", "I-PER", "O", "B-LOC", "O", "B-ORG", "I-ORG", "I-ORG"]
SCHEMES = {
    "iob1": ["I-PER", "I-PER", "B-PER", "I-PER", "O", "I-LOC", "O", "I-ORG", "I-ORG", "I-ORG"],
    "iob2": IOB2,
    "bioes": ["B-PER", "E-PER", "B-PER", "E-PER", "O", "S-LOC", "O", "B-ORG", "I-ORG", "E-ORG"],
    "bilou": ["B-PER", "L-PER", "B-PER", "L-PER", "O", "U-LOC", "O", "B-ORG", "I-ORG", "L-ORG"],
}


def write(path, *sentences, separator=" ", end="\n"):
    lines = [separator.join(columns) for sentence in sentences for columns in [*sentence, ()]]
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("separator", "end"), [(" ", "\n"), ("\t", "\r\n"), ("  ", "\r")])
def test_every_scheme_is_found_out_and_unified(scheme, separator, end, tmp_path):
    sentence = list(zip(WORDS, ["X"] * len(WORDS), SCHEMES[scheme], strict=True))
    path = write(tmp_path / "train.txt", sentence, sentence[4:], separator=separator, end=end)
    read = conll.read(path)["train"]
    assert [(s.tokens, s.tags, s.line) for s in read] == [(WORDS, IOB2, 1), (WORDS[4:], IOB2[4:], 12)]
    assert conll.entities(IOB2) == [("PER", 0, 2), ("PER", 2, 4), ("LOC", 5, 6), ("ORG", 7, 10)]


def test_types_with_hyphens_document_lines_tabs_in_blank_lines_and_the_last_line(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(
        b"\xef\xbb\xbf-DOCSTART- -X- O\n\nStar\t_\tB-creative-work\nWars\t_\tI-creative-work\n\t\t\r\n#\t_\tO"
    )
    assert [(s.tokens, s.tags) for s in conll.read_file(path)] == [
        (["Star", "Wars"], ["B-creative-work", "I-creative-work"]),
        (["#"], ["O"]),
    ]


@pytest.mark.parametrize(
    ("content", "line", "part"),
    [
        ("Ana B-PER\nSilva X I-PER\n", 2, "3 columns; expected 2"),
        ("Ana X B-PER\nSilva I-PER\n", 2, "2 columns; expected 3"),
        ("Ana\n", 1, "one column"),
        ("Ana B-PER\n\nleft O\nPorto LOC\n", 4, "'LOC' is no tag"),
        ("Ana B-\n", 1, "'B-' is no tag"),
        ("\tO\n", 1, "the token is empty"),
        ("Ana B-PER\nleft O\nPorto I-LOC\n", 3, "I-LOC after O; IOB2"),
        ("Ana B-PER\nPorto I-LOC\n", 2, "I-LOC after B-PER; IOB2"),
        ("left O\nAna E-PER\n", 2, "E-PER after O; BIOES"),
        ("Ana B-PER\nleft O\nPorto S-LOC\n", 2, "O after B-PER; BIOES"),
        ("Porto S-LOC\n\nAna B-PER\n", 3, "a sentence ends with B-PER; BIOES"),
        ("Porto S-LOC\nAna I-PER\nSilva E-PER\n", 2, "I-PER after S-LOC; BIOES"),
    ],
)
def test_faults_are_named_with_file_and_line(content, line, part, tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(content)
    with pytest.raises(ZooError) as error:
        conll.read(tmp_path)
    assert str(error.value).startswith(f"{path}: line {line}: ") and part in str(error.value)


def test_a_beginning_too_many_in_a_long_iob1_file_is_noted_not_refused(tmp_path, capsys):
    name = [("Ana", "I-PER"), ("left", "O")]
    path = write(tmp_path / "train", *[name] * 2000, [("Porto", "B-LOC"), ("sleeps", "O")])
    assert conll.read_file(path)[-1].tags == ["B-LOC", "O"]
    assert f"{path}: line 6001: B-LOC at the beginning" in capsys.readouterr().err


def test_empty_files_and_missing_splits(tmp_path):
    with pytest.raises(ZooError, match="no file for the train split.*found nothing"):
        conll.read(tmp_path)
    (tmp_path / "test.txt").write_text("Ana B-PER\n")
    with pytest.raises(ZooError, match="no file for the train split.*test.txt"):
        conll.read(tmp_path)
    (tmp_path / "train.txt").write_text("\n\n")
    with pytest.raises(ZooError, match="train.txt: no sentences"):
        conll.read(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("eng.train", "eng.testa", "eng.testb"),
        ("train.txt", "valid.txt", "test.txt"),
        ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"),
        ("x-TRAIN", "x-devel", "x-Test"),
    ],
)
def test_splits_are_told_by_their_names(names, tmp_path):
    for i, name in enumerate((*names, "README.md", "train.json")):
        (tmp_path / name).write_text(f"w{i} O\n")
    found = conll.read(tmp_path)
    assert {split: rows[0].tokens for split, rows in found.items()} == {"train": ["w0"], "dev": ["w1"], "test": ["w2"]}
    (tmp_path / "other.train").write_text("w O\n")
    with pytest.raises(ZooError, match="two files for the train split"):
        conll.read(tmp_path)


def test_bytes_that_are_not_utf8_are_replaced_and_told(tmp_path, capsys):
    path = tmp_path / "train"
    path.write_bytes(b"caf\xe9 O\n")
    assert conll.read_file(path)[0].tokens == ["caf\ufffd"]
    assert "1 lines with bytes that are not UTF-8" in capsys.readouterr().err


def test_tags_that_no_scheme_allows_have_a_reading_where_there_is_no_file_to_mend():
    given = ["I-A", "I-A", "I-B", "O", "E-A", "B-A", "S-A", "I-A"]
    assert conll.to_iob2(given) == ["B-A", "I-A", "B-B", "O", "B-A", "B-A", "B-A", "B-A"]
