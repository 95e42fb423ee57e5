"""Examples around Holdfast; none of them is part of the package `monitor`."""
