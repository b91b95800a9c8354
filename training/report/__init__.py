"""The report of a bundle: what the network is, how it was trained, and what it predicts wrongly.

    evaluation   predictions on labelled data: confusion matrix, calibration, misclassified rows
    plots        each plot, as PNG
    sections     the sections of the report, from an evaluation and plots
    page         all of it as one HTML page that needs no other file

A bundle contains the page without pictures of the data (curves and tables only); `python -m training report` adds them.
"""
