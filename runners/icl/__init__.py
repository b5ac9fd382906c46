"""embedded/icl: an in-context learner without weights, a stand-in for learning the tool."""
