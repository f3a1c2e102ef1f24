"""What is in the binary, as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/): the crates that are linked, and how they hang together.

Reads `cargo metadata` and Cargo.lock of the folder that it is run in. The same sources give the same bytes: no time, no random number.
"""

import json
import re
import subprocess
import tomllib
import uuid

TARGET = "x86_64-unknown-linux-gnu"


def metadata():
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def checksums():
    with open("Cargo.lock", "rb") as lock:
        packages = tomllib.load(lock)["package"]
    return {(one["name"], one["version"]): one.get("checksum") for one in packages}


def linked(nodes, root):
    """The crates that the root links, and for each those that it links itself."""
    edges, waiting = {}, [root]
    while waiting:
        crate = waiting.pop()
        if crate in edges:
            continue
        normal = [
            dependency["pkg"]
            for dependency in nodes[crate]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
        edges[crate] = normal
        waiting += normal
    return edges


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksum, kind):
    found = {
        "type": kind,
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    }
    if package["license"]:
        # What cargo still takes but SPDX does not.
        found["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


def main():
    told, sums = metadata(), checksums()
    packages = {package["id"]: package for package in told["packages"]}
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
    root = told["resolve"]["root"]
    edges = linked(nodes, root)

    def of(crate, kind="library"):
        package = packages[crate]
        return component(package, sums.get((package["name"], package["version"])), kind)

    crates = sorted((crate for crate in edges if crate != root), key=lambda crate: purl(packages[crate]))
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": of(root, "application")},
        "components": [of(crate) for crate in crates],
        "dependencies": [
            {"ref": purl(packages[crate]), "dependsOn": sorted({purl(packages[one]) for one in edges[crate]})}
            for crate in [root, *crates]
        ],
    }
    bom["serialNumber"] = "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True)))
    print(json.dumps(bom, indent=2))


main()
