"""Local videos: probed, cut into frames, and scaled down to be sent (extra `video`).

`container` opens a file, `probe` reads its size and length, `choice` says which way it goes,
`schedule` which frames are taken, `reader` decodes them, `frames` keeps them as JPEG, and `cut`
makes a list of frames of a video with all of these.
"""
