"""Folders of pictures: found, split, decoded, resized and augmented."""

from addapt.data.decode import read_image
from addapt.data.folder import ImageFolder, Sample, scan_classes, scan_folder
from addapt.data.images import ImageSet, auto_image_px, load_images
from addapt.data.split import split_validation
from addapt.data.transforms import Augmentation, normalise

__all__ = [
    "Augmentation",
    "ImageFolder",
    "ImageSet",
    "Sample",
    "auto_image_px",
    "load_images",
    "normalise",
    "read_image",
    "scan_classes",
    "scan_folder",
    "split_validation",
]
