"""Groups of related files: duplicates, pairs, near-duplicates, bursts.

attributes        Read the attributes of files and hits by which they are grouped.
clusters          Group files and hits by their attributes.
image_comparison  Compare the pixels of images: photos as thumbnails, documents in full.
near_duplicates   Find near-duplicates: stars of images around the best of them.
pairs             Pairs of linked rows, and the groups that they form.
quality           Order files of one image by quality: the first is the one to keep.
registration      Register two images of one scene.
rules             The rules of grouping: a function for each reason, from attributes to pairs of rows.
similarity        Similarity of images by perceptual hashes and by vectors.
"""
