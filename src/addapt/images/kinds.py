"""What kind of image a file holds, told by its first bytes and, for raw ones, by its ending."""

from pathlib import PurePath

HEAD_BYTES = 32  # of a file, by which kinds are told apart

# Kinds that can be read, as Pillow calls them; HEIF only with the extra `heic`.
READABLE = frozenset({"JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF"})
HEIF = "HEIF"
RAW = "camera raw"

# What is called so is taken for an image of the kind; when it is read, its content decides.
KIND_OF_SUFFIX = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"), "JPEG"),
    **dict.fromkeys((".png", ".apng"), "PNG"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), "PPM"),
    **dict.fromkeys((".heic", ".heif", ".hif"), HEIF),
    ".gif": "GIF",
    ".webp": "WEBP",
    ".avif": "AVIF",
}

# What the first bytes of a kind are. Those that cannot be read have the names people know.
_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0\x10\0\0\0CR", RAW),  # Canon's, a TIFF with a thumbnail in it
    (b"IIU\0", RAW),
    (b"IIRO", RAW),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"8BPS", "Photoshop"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"gimp xcf", "GIMP"),
    (b"SIMPLE  =", "FITS"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
)
# ISO base media files, by the brands that follow "ftyp"; others are videos. The last ones say only
# that there are images, of whatever kind.
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), HEIF),
    b"crx ": RAW,
    **dict.fromkeys((b"mif1", b"msf1"), HEIF),
}
_RAW_ENDINGS = frozenset(
    ".cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .raf .orf .rw2 .pef .srw .3fr .erf .kdc".split()
)
# Of kinds whose first bytes tell nothing, or need not be there.
_OTHER_ENDINGS = {".svg": "SVG", ".svgz": "SVG", ".tga": "Targa", ".dcm": "DICOM"}


def kind_of(head: bytes, name: str = "") -> str | None:
    """Return the kind of image that a file holds; None if it is none that is known.

    Args:
        head: its first `HEAD_BYTES` bytes, or all if there are fewer.
        name: its name: most raw files of cameras are TIFFs but for their endings, and what can be
            read of them is a thumbnail.
    """
    suffix = PurePath(name).suffix.lower()
    if head and suffix in _RAW_ENDINGS:
        return RAW
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        # The compatible brands come after the major one and its version.
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, len(head), 4))}
        return next((kind for brand, kind in _BRANDS.items() if brand in brands), None)
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "BMP"
    # A netpbm file says P1 to P6, then white space or a comment.
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n#":
        return "PPM"
    return _OTHER_ENDINGS.get(suffix) if head else None
