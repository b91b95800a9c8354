"""The user's own pictures: a folder with a folder for each class becomes a recipe, which is trained like any other.

folder           the picture files of each class
picture_dataset  their images, preprocessed by the code that will preprocess uploads
proposal         the recipe
"""
