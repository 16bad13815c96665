"""Labelling a million short texts from file to file: by how much the process grows.

    python benchmarks/labelling_memory.py [--texts N] [--max-length L] [--data FILE]

The texts are sentences of the source, again and again. A first file of 10,000 texts warms the process up; what a file
of all texts adds to its peak memory is the figure. The model is MiniLM-L6 cut to one layer, with an untrained head:
memory does not hang on its answers.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from harness import MODEL, arguments, description, peak_rss_mb, say, texts_and_labels

from understudy.inference.bulk import predict_file
from understudy.inference.opening import open_classifier
from understudy.models.loading import load_tokenizer, resolve
from understudy.models.students import from_layers

WARM_UP = 10_000
ROWS = 10_000  # of one row group


def write_texts(path: Path, sentences: Iterator[str], texts: int) -> None:
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, texts, ROWS):
            rows = list(islice(sentences, min(ROWS, texts - start)))
            writer.write_table(pa.table({"text": rows}, schema=schema))


def main() -> None:
    parser = arguments(str(__doc__).splitlines()[0], texts=1_000_000)
    options = parser.parse_args()
    amount, options.texts = options.texts, 1_000
    texts, _ = texts_and_labels(options)
    sentences = cycle(sentence.strip() for text in texts for sentence in text.split(".") if sentence.strip())
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        origin = resolve(MODEL).path
        from_layers(origin, 1, ["negative", "positive"], seed=0).save_pretrained(model)
        load_tokenizer(origin).save_pretrained(model)
        classifier = open_classifier(model, precision="auto")
        output = Path(folder) / "answers.parquet"
        write_texts(Path(folder) / "few.parquet", sentences, WARM_UP)
        predict_file(classifier, str(Path(folder) / "few.parquet"), output)
        before = peak_rss_mb()
        say(f"after {WARM_UP} texts: {before:.0f} MB")
        write_texts(Path(folder) / "many.parquet", sentences, amount)
        start = time.perf_counter()
        rows = predict_file(classifier, str(Path(folder) / "many.parquet"), output)
        seconds = time.perf_counter() - start
    figures = {
        "machine": description(),
        "texts": rows,
        "seconds": round(seconds, 1),
        "documents_per_second": round(rows / seconds, 1),
        "peak_rss_mb_after_warm_up": round(before, 1),
        "added_mb": round(peak_rss_mb() - before, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
