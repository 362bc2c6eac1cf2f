"""A launch on the nodes of a Slurm cluster, by dask-jobqueue: pip install "nervenet[dask]" dask-jobqueue cryptography.

    python on_slurm.py [EXPERIMENT.toml]

Run it on a machine that the compute nodes reach, such as the login node: broker and coordinator are there. Each job of
Slurm is one worker; what is set below is for your cluster to decide.
"""

import asyncio
import sys
from pathlib import Path

from nervenet.nodes import launch, load_experiment

JOBS = 8
JOB = {
    "queue": "compute",  # the partition
    "cores": 8,
    "processes": 1,  # one worker a job: nervenet starts the processes of its nodes itself
    "memory": "16GB",
    "walltime": "01:00:00",
    "job_extra_directives": ["--signal=TERM@60"],  # a minute before its end: nodes report, and go on elsewhere
    "worker_extra_args": ["--lifetime", "55m", "--lifetime-stagger", "2m"],
}
LINK = {
    "security": True,  # certificates for this cluster alone: keys and rows of the nodes travel over its link
    "shared_temp_directory": ".",  # on the common disk; removed with the cluster
}


async def main(file: Path | None) -> None:
    from dask_jobqueue import SLURMCluster

    settings = {"nodes": 64, "processes": 16, "cluster.deadline_s": 3600.0}  # as long as the queue may take
    async with SLURMCluster(**JOB, **LINK, asynchronous=True) as cluster:
        cluster.scale(jobs=JOBS)
        result = await launch(load_experiment(file, settings), on=cluster)
    print(result["accuracy"], result.path)


if __name__ == "__main__":
    asyncio.run(main(next(map(Path, sys.argv[1:]), None)))
