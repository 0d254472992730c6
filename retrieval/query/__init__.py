"""Query text to query vector and filters.

arguments           Make one query of the arguments of a shell, which has removed the quotes.
ast                 Syntax tree of a query; str() of a tree parses to the same tree.
dates               Parse dates in words, such as `yesterday`, `last summer` and `July 2021`.
encoder             Encode a parsed query as vectors: embed, center and sum its terms.
filters             Validate filters written by users.
input_types         Check the types of what a program passes to a search; a wrong one is a QueryError.
known_values        Find values of filters that nothing in a library has, and the nearest ones that exist.
lexer               Split a query at spaces into tokens, and resolve quotes and backslashes.
names               Read concepts and saved searches, which queries name @NAME.
options             Options of a search.
parser              The query language: one grammar for the command line, Python and the web page.
relevance_feedback  Relevance feedback: train a probe on liked and unliked examples.
"""
