"""The log's SQL: it asks and answers, but never decides and never commits."""
