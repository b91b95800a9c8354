"""The targets: each module has `run(data)`, and `WORDS` to insert into inputs, as chance would hardly find them."""
