"""A MongoDB for tests: no mongod is to be had here, so one that keeps documents in SQLite; and what is put into it."""

import datetime
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import bson
import pymongo

from tests.ports import free_port


class MongoStandIn:
    """One process on loopback, with everything in memory."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        program = Path(sys.executable).with_name("nx-27017")
        files = ["--log-file", str(folder / "log"), "--pid-file", str(folder / "pid")]
        command = [str(program), "--db", "memory", "--threaded", "--port", str(self.port), *files]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/shop?directConnection=true"

    def answers(self) -> bool:
        try:
            with pymongo.MongoClient[Any](self.url, serverSelectionTimeoutMS=500) as client:
                client.server_info()
        except pymongo.errors.PyMongoError:
            return False
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


def fill(server: MongoStandIn, people: int = 5000) -> None:
    draw = random.Random(1)
    with pymongo.MongoClient[Any](server.url) as client:
        some = [
            {
                "_id": number,
                "name": f"订单 {number}",
                "data": draw.randbytes(number % 50),
                "long": bson.Int64(2**40),
                "at": datetime.datetime(2026, 1, 31, 2, tzinfo=datetime.UTC),
                "deep": {"list": [1, {"x": None}, 1.5]},
            }
            for number in range(people)
        ]
        client["shop"]["people"].insert_many(some)
        client["shop"]["people"].create_index([("name", 1)])
        client["shop"]["notes"].insert_many([{"text": "words " * 50} for _ in range(30)])


def seen(server: MongoStandIn) -> dict[str, list[str]]:
    with pymongo.MongoClient[Any](server.url) as client:
        names = client["shop"].list_collection_names()
        return {name: sorted(map(repr, client["shop"][name].find())) for name in names}


def indexes(server: MongoStandIn) -> list[dict[str, Any]]:
    with pymongo.MongoClient[Any](server.url) as client:
        return [dict(each["key"]) for each in client["shop"]["people"].list_indexes()]
