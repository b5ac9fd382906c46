"""Where passages are found: one protocol, one file per kind of retriever."""
