"""Labels, concepts and saved searches.

concepts   Concepts that a library learns from example images.
labels     Tag the segments of a library with zero-shot labels; segments that are indexed later are tagged too
matcher    Match segments with labels: each label independently, or the most probable of several.
options    Options of tagging.
saved_searches  Saved searches: queries with a name, which other queries contain as @NAME.
tag_table  Write the tables `labels` and `tags`; stored labels are applied to new segments too.
zero_shot  Zero-shot classification with an ensemble of prompts for each label.
"""
