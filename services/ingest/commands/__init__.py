"""What others can ask of the log. One function is one transaction; events come in through the pipeline."""
