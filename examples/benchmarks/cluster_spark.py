"""Fit with Spark's MLlib in a separate process: read a tolerance, print a fit.

    python cluster_spark.py FOLDER MEMORY

The rows come from Parquet files in the folder, and are in Spark's memory before the
first fit. Each line of the input is a tolerance. Each line of the output is JSON: first
the versions, then the seconds of a fit and the model. The script imports PySpark only,
so any interpreter that has PySpark can run it.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any

MAX_ITER = 10_000


def session(memory: str) -> Any:
    """Start Spark on two cores of this machine."""
    from pyspark.sql import SparkSession

    builder = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", memory)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
    )
    return builder.getOrCreate()


def in_memory(spark: Any, folder: str) -> Any:
    """Read the rows and keep them in memory."""
    from pyspark.ml.functions import array_to_vector

    table = spark.read.parquet(folder)
    features = array_to_vector("features").alias("features")
    rows = table.select(features, "label").persist()
    rows.count()
    return rows


def fit(rows: Any, tol: float) -> dict[str, Any]:
    """Fit once without a penalty; return the seconds and the model."""
    from pyspark.ml.classification import LogisticRegression

    model = LogisticRegression(
        maxIter=MAX_ITER, tol=tol, regParam=0.0, family="binomial"
    )
    started = perf_counter()
    fitted = model.fit(rows)
    seconds = perf_counter() - started
    return {
        "seconds": seconds,
        "coef": [fitted.coefficients.toArray().tolist()],
        "intercept": [fitted.intercept],
        "n_iter": fitted.summary.totalIterations,
    }


def answer(content: dict[str, Any]) -> None:
    """Print a line for the process that reads this output."""
    print(json.dumps(content), flush=True)


def main() -> None:
    """Answer with the versions, then with a fit for each tolerance that comes in."""
    folder, memory = sys.argv[1:]
    spark = session(memory)
    rows = in_memory(spark, folder)
    java = spark.sparkContext._jvm.java.lang.System.getProperty("java.version")
    answer({"pyspark": spark.version, "java": java})
    for line in sys.stdin:
        answer(fit(rows, float(line)))
    spark.stop()


if __name__ == "__main__":
    main()
