"""Files of microscopes' programs, written by hand as their descriptions say."""

import json
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest


@pytest.fixture
def write_ser():
    """A writer of TIA's series; source: the description of the format by C. Boothroyd."""

    def write(
        path: Path, images: np.ndarray, pixel: float = 1e-9, start: float = 0.0, step: float = 1.0, unit: str = ""
    ) -> None:
        n, ny, nx = images.shape
        kind = {"uint16": 2, "int16": 5, "int32": 6, "float32": 7}[images.dtype.name]
        words = (b"Stage tilt", unit.encode())
        texts = b"".join(struct.pack("<i", len(word)) + word for word in words)
        dimension = struct.pack("<iddi", n, start, step, 0) + texts
        head = struct.pack("<hhhiiiii", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, n, n, 30 + len(dimension)) + struct.pack(
            "<i", 1
        )
        head += dimension
        blocks = []
        for image in images:
            calibration = struct.pack("<ddi", 0.0, pixel, 0) * 2
            blocks.append(calibration + struct.pack("<hii", kind, nx, ny) + image.tobytes())
        tag = struct.pack("<hhi", 0x4152, 0, 0)
        at, places = len(head) + 8 * n, []
        for block in blocks:
            places.append(at)
            at += len(block) + len(tag)
        tags = [place + len(block) for place, block in zip(places, blocks, strict=True)]
        offsets = struct.pack(f"<{2 * n}i", *places, *tags)
        path.write_bytes(head + offsets + b"".join(block + tag for block in blocks))

    return write


@pytest.fixture
def write_dm():
    """A writer of DigitalMicrograph 3 and 4: a big-endian tree of tags with little-endian values."""

    def write(
        path: Path, images: np.ndarray, version: int = 3, scales=(1.0, 1.0, 1.0), units=("", "nm", "nm"), origins=(0, 0, 0)
    ):
        size = ">i" if version == 3 else ">q"
        kind = {"uint16": (4, 10), "int16": (2, 1), "float32": (6, 2), "int32": (3, 7)}[images.dtype.name]

        def tag(name: str, code: int, body: bytes) -> bytes:
            out = bytes([code]) + struct.pack(">H", len(name)) + name.encode()
            return out + (struct.pack(">q", len(body)) if version == 4 else b"") + body

        def group(name: str, *children: bytes) -> bytes:
            return tag(name, 20, b"\x01\x00" + struct.pack(size, len(children)) + b"".join(children))

        def value(name: str, info: list[int], body: bytes) -> bytes:
            words = b"".join(struct.pack(size, word) for word in (len(info), *info))
            return tag(name, 21, b"%%%%" + words + body)

        def number(name: str, x: float) -> bytes:
            return value(name, [6], struct.pack("<f", x))

        def whole(name: str, x: int) -> bytes:
            return value(name, [5], struct.pack("<I", x))

        def text(name: str, x: str) -> bytes:
            return value(name, [20, 4, len(x)], x.encode("utf-16-le"))

        dimensions = [
            group("", number("Origin", -o / s), number("Scale", s), text("Units", u))
            for s, u, o in zip(scales[::-1], units[::-1], origins[::-1], strict=True)
        ]
        calibrations = group(
            "Calibrations",
            group("Brightness", number("Origin", 0), number("Scale", 1), text("Units", "")),
            group("Dimension", *dimensions),
        )
        data = group(
            "ImageData",
            calibrations,
            value("Data", [20, kind[0], images.size], images.tobytes()),
            whole("DataType", kind[1]),
            group("Dimensions", *(whole("", n) for n in images.shape[::-1])),
            whole("PixelDepth", images.itemsize),
        )
        image = group("", data, group("ImageTags"), text("Name", "series"))
        children = [group("ImageList", image), whole("InImageMode", 1)]
        body = b"\x01\x00" + struct.pack(size, len(children)) + b"".join(children)
        head = struct.pack(">i", version) + struct.pack(size, len(body)) + struct.pack(">i", 1)
        path.write_bytes(head + body + bytes(8))

    return write


@pytest.fixture
def write_velox():
    """A writer of Velox's EMD, with groups, types and texts as in the files that Velox 2 to 3 wrote (versions 8 and 11).

    For each detector a stack of frames along the last axis, and 60,000 bytes of JSON for each frame: a scanning detector tells
    the time of its frames under ``Scan``, a camera the exposure under ``Detectors``.
    """

    def write(
        path: Path,
        images: np.ndarray,
        tilts: np.ndarray,
        pixel: float = 2e-9,
        detectors: tuple[str, ...] = ("HAADF",),
        camera: bool = False,
        room: int = 60000,
    ) -> None:
        n, ny, nx = images.shape
        text = h5py.string_dtype()
        with h5py.File(path, "w") as file:
            file.create_dataset("Version", data=['{\n    "version": "8",\n    "format": "Velox"\n}\n'], dtype=text)
            file.create_dataset("Info", data=["{}"], dtype=text)
            for k, name in enumerate(detectors):
                key = f"{k:x}6f60320a61d4f66a73efd8cde34ffa9"
                group = file.create_group(f"Data/Image/{key}")
                group.create_dataset("Data", data=np.moveaxis(images + k, 0, 2), chunks=(ny, nx, 1))
                group["FrameLookupTable"] = np.arange(n, dtype=np.uint32)
                texts = np.zeros((room, n), np.uint8)
                for i, tilt in enumerate(tilts):
                    raw = json.dumps(_velox_metadata(tilt, pixel, k, name, camera=camera), indent=4).encode() + b"\n"
                    texts[: len(raw), i] = list(raw)
                group.create_dataset("Metadata", data=texts, chunks=(room, 1))
                operation = {"dataPath": f"/Data/Image/{key}", "detector": name, "cameraName": name}
                kind = "CameraInputOperation" if camera else "StemInputOperation"
                file.create_dataset(f"Operations/{kind}/{key}", data=[json.dumps(operation)], dtype=text)

    return write


def _velox_metadata(tilt: float, pixel: float, index: int, detector: str, *, camera: bool) -> dict:
    return {
        "Core": {"MetadataDefinitionVersion": "7.9", "MetadataSchemaVersion": "v1/2013/07", "guid": "0" * 32},
        "Instrument": {"InstrumentClass": "Titan", "InstrumentId": "6338", "Manufacturer": "FEI Company"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1575540224"}, "BeamType": "", "SourceType": "XFEG"},
        "Optics": {"AccelerationVoltage": "300000", "Defocus": "-1.2e-07"},
        "Stage": {
            "Position": {"x": "1.2240794999999906e-05", "y": "-1.2958331999999854e-05", "z": "-1.8973135412934015e-05"},
            "AlphaTilt": repr(float(tilt)), "BetaTilt": "-0.035036330282688141", "HolderType": "FEI Double Tilt",
        },
        "Scan": {"ScanSize": {"width": "0", "height": "0"}, **({} if camera else {"FrameTime": "6.0416"})},
        "Vacuum": {"VacuumMode": "Ready"},
        "Detectors": {f"Detector-{index}": {"DetectorName": detector, "ExposureTime": "1", "Enabled": "true"}},
        "BinaryResult": {
            "AcquisitionUnit": "CameraImage" if camera else "", "CompositionType": "", "DetectorIndex": str(index),
            "Detector": detector, "PixelSize": {"width": repr(pixel), "height": repr(pixel)}, "PixelUnitX": "m",
            "PixelUnitY": "m", "Offset": {"x": "-1.6738064777825999e-08", "y": "-1.6738064777825999e-08"},
            "Encoding": "Signed", "BitsPerPixel": "16",
        },
        "Sample": "", "GasInjectionSystems": "",
        "CustomProperties": {"StemMagnification": {"type": "double", "value": "40000"}},
    }  # fmt: skip
