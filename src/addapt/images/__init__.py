"""Folders of images: found, split, decoded, resized and augmented."""

from addapt.images.decode import read_image
from addapt.images.folder import ImageFolder, Sample, scan_classes, scan_folder
from addapt.images.images import ImageSet, auto_image_px, load_images
from addapt.images.split import split_validation
from addapt.images.transforms import Augmentation, normalise

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
