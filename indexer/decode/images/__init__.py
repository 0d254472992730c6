"""Images, animations and their crops.

crops        Compute crops of an image: squares along a panorama, and tiles that show small objects.
decoder      Decode an image to segments: the image, its further frames, pages or crops, and its descriptions.
frames       Extract several images from one file: distinct frames of an animation, pages of a TIFF.
placeholder  Make placeholders: about 25 bytes that show a blurred image before its thumbnail arrives.
thumbnail    Make the thumbnails that are shown with hits.
"""
