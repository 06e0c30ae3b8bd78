"""Folders of images: found, split, decoded, resized and varied."""

from addapt.images.chance import ORDER, VARIATION, generator_of, split_validation
from addapt.images.copies import SeenImages, first_of_copies, in_two_classes
from addapt.images.decode import read_image
from addapt.images.decode_many import decoding_bytes, usable_threads
from addapt.images.deep_greys import ValueRange
from addapt.images.folder import ImageFolder, images_in, scan_classes, scan_folder
from addapt.images.given import Given, decode_given, in_groups
from addapt.images.image_set import ImageSet, auto_image_px, load_images, resize_images
from addapt.images.kept import ScratchFile
from addapt.images.likeness import near_copies
from addapt.images.one_pass import OnePass
from addapt.images.samples import Sample, Samples
from addapt.images.value_range import find_value_range
from addapt.images.vary import Augmentation

__all__ = [
    "ORDER",
    "VARIATION",
    "Augmentation",
    "Given",
    "ImageFolder",
    "ImageSet",
    "OnePass",
    "Sample",
    "Samples",
    "ScratchFile",
    "SeenImages",
    "ValueRange",
    "auto_image_px",
    "decode_given",
    "decoding_bytes",
    "find_value_range",
    "first_of_copies",
    "generator_of",
    "images_in",
    "in_groups",
    "in_two_classes",
    "load_images",
    "near_copies",
    "read_image",
    "resize_images",
    "scan_classes",
    "scan_folder",
    "split_validation",
    "usable_threads",
]
