"""What a network is, how it learned, what it does well and where it errs: one page of HTML, and its pictures.

    judgement   what its answers to the held-out data say: confusion, calibration, mistakes
    pictures    each picture, as PNG
    page        all of it on a page that needs no other file

A bundle carries the page without pictures of data (curves and tables only); `python -m training report` adds them.
"""
