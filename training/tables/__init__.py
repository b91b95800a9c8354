"""Tables of one's own: from a CSV or Parquet file to a recipe, and the data set of such a recipe.

reading        a file -> columns of text, and how it was read: delimiter, encoding, decimal comma
columns        what each column is: a number, a category, or of no use, and why
proposal       a whole recipe for a file and its target, with the reason for each choice
table_dataset  the rows of a recipe's table, encoded and split
"""
