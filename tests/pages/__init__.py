"""The pages under docs/ say what is so: what they state is compared with the code."""
