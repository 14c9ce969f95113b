"""The log's SQL: questions and answers, never a decision, never a commit."""
