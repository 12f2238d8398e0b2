"""One module per stage of the pipeline: it reads files, calls ``toto_core``, writes files."""
