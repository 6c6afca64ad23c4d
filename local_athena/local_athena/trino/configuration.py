"""How the server is set up: one node on loopback, Athena's catalog, and a catalog of its own for writing.

Both catalogs are of the Hive connector and keep their files in the local S3. ``awsdatacatalog`` has the
local Glue for its metastore. ``scratch`` has a folder: a CTAS or UNLOAD is run there, so that Trino writes
the files where Athena wants them and nothing of it shows in Glue, where Athena's own entry comes afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_athena.account import DEFAULT_REGION, ENGINE_ACCESS_KEY_ID, ENGINE_SECRET_ACCESS_KEY
from local_athena.data.data_files import MAX_OPEN_WRITERS
from local_athena.trino.java import Java

CATALOG, SCRATCH = "awsdatacatalog", "scratch"
_VECTORS = "jdk.incubator.vector"  # some Javas come without it; Trino does without, too


@dataclass(frozen=True, slots=True)
class Setting:
    """What the server's files and its command are made of."""

    folder: Path  # for its files; made by whoever starts it
    port: int
    endpoint_url: str  # the local Athena's, for Glue and S3
    heap_mebibytes: int = 2048


def write_files(setting: Setting) -> None:
    """Write the server's configuration into its folder."""
    catalogs = setting.folder / "catalog"
    catalogs.mkdir(parents=True)
    (setting.folder / "metastore").mkdir()
    _write(setting.folder / "config.properties", _server(setting))
    _write(catalogs / f"{CATALOG}.properties", _hive(setting.endpoint_url) | glue(setting.endpoint_url))
    _write(
        catalogs / f"{SCRATCH}.properties", _hive(setting.endpoint_url) | _files(setting.folder / "metastore")
    )


def command(setting: Setting, java: Java, server: Path) -> list[str]:
    """Return the command that runs the server, in the server's own folder."""
    settings = {
        "config": setting.folder / "config.properties",
        "catalog.config-dir": setting.folder / "catalog",
        "node.environment": "local",
        "node.id": "local",
        "node.data-dir": setting.folder,
        "node.internal-address": "127.0.0.1",
        "node.bind-ip": "127.0.0.1",
        "plugin.dir": server / "plugin",
        "java.io.tmpdir": setting.folder,
        "user.timezone": "UTC",
        "file.encoding": "UTF-8",
    }
    return [
        str(java.command),
        "-server",
        f"-Xmx{setting.heap_mebibytes}M",
        "-XX:+UseG1GC",
        "-XX:TieredStopAtLevel=1",  # queries are small and many: to be there soon counts for more
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:+EnableDynamicAgentLoading",
        "-Djdk.attach.allowAttachSelf=true",
        *([f"--add-modules={_VECTORS}"] if _VECTORS in java.modules else []),
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        *(f"-D{name}={value}" for name, value in settings.items()),
        "-cp",
        str(server / "lib" / "*"),
        "io.trino.server.TrinoServer",
    ]


def _server(setting: Setting) -> dict[str, str]:
    per_query = f"{setting.heap_mebibytes // 2}MB"
    return {
        "coordinator": "true",
        "node-scheduler.include-coordinator": "true",
        "http-server.http.port": str(setting.port),
        # A statement with parameters, and one that is only described, travels in a header.
        "http-server.max-request-header-size": "4MB",
        "discovery.uri": f"http://127.0.0.1:{setting.port}",
        "query.max-memory": per_query,
        "query.max-memory-per-node": per_query,
        # With one writer the limit of partitions is one of the whole statement, as Athena's is.
        "task.min-writer-count": "1",
        "task.max-writer-count": "1",
        "task.scale-writers.enabled": "false",
        "query.max-length": "10000000",
        "query.min-expire-age": "1m",
        "query.max-history": "50",
    }


def glue(endpoint_url: str) -> dict[str, str]:
    """Return how a catalog finds the local Glue."""
    return {
        "hive.metastore": "glue",
        "hive.metastore.glue.region": DEFAULT_REGION,
        "hive.metastore.glue.endpoint-url": endpoint_url,
        "hive.metastore.glue.aws-access-key": ENGINE_ACCESS_KEY_ID,
        "hive.metastore.glue.aws-secret-key": ENGINE_SECRET_ACCESS_KEY,
    }


def _files(metastore: Path) -> dict[str, str]:
    return {
        "hive.metastore": "file",
        "hive.metastore.catalog.dir": "local:///",
        "fs.native-local.enabled": "true",
        "local.location": str(metastore),
    }


def _hive(endpoint_url: str) -> dict[str, str]:
    return {
        "connector.name": "hive",
        "fs.native-s3.enabled": "true",
        "s3.endpoint": endpoint_url,
        "s3.region": DEFAULT_REGION,
        "s3.path-style-access": "true",
        "s3.aws-access-key": ENGINE_ACCESS_KEY_ID,
        "s3.aws-secret-key": ENGINE_SECRET_ACCESS_KEY,
        "hive.security": "allow-all",
        "hive.recursive-directories": "true",
        "hive.max-partitions-per-writers": str(MAX_OPEN_WRITERS),
        "hive.non-managed-table-writes-enabled": "true",
        "hive.non-managed-table-creates-enabled": "true",
        "hive.collect-column-statistics-on-write": "false",
        "hive.table-statistics-enabled": "false",
        "hive.timestamp-precision": "MILLISECONDS",
    }


def _write(path: Path, properties: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
